"""Sends spans, metrics and logs with the OpenTelemetry SDK, each export to two places: DIRECT and VIA, over gRPC and HTTP."""
import logging
import os

from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpans
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpans
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

direct, via_grpc, via_http = os.environ["DIRECT"], os.environ["VIA_GRPC"], os.environ["VIA_HTTP"]
resource = Resource.create({"service.name": "sdk-python", "service.version": "1.2.3", "list": ["a", "b"]})


class Both:
    """One export is made to two exporters."""

    def __init__(self, first, second):
        self.to = [first, second]
        for name in ("_preferred_temporality", "_preferred_aggregation"):
            if hasattr(first, name):
                setattr(self, name, getattr(first, name))

    def export(self, batch, **more):
        results = [to.export(batch, **more) for to in self.to]
        assert all(r.name == "SUCCESS" for r in results), results
        return results[0]

    def force_flush(self, *more, **named):
        return True

    def shutdown(self, *more, **named):
        for to in self.to:
            to.shutdown()


def grpc(kind):
    return Both(kind(endpoint=direct, insecure=True), kind(endpoint=via_grpc, insecure=True))


def http(kind, path):
    return Both(kind(endpoint=f"{direct}/v1/{path}"), kind(endpoint=f"{via_http}/v1/{path}"))


tracers = TracerProvider(resource=resource)
tracers.add_span_processor(BatchSpanProcessor(grpc(GrpcSpans)))
tracers.add_span_processor(BatchSpanProcessor(http(HttpSpans, "traces")))
meters = MeterProvider(
    resource=resource,
    metric_readers=[
        PeriodicExportingMetricReader(grpc(GrpcMetrics), export_interval_millis=3_600_000),
        PeriodicExportingMetricReader(http(HttpMetrics, "metrics"), export_interval_millis=3_600_000),
    ],
)
loggers = LoggerProvider(resource=resource)
loggers.add_log_record_processor(BatchLogRecordProcessor(grpc(GrpcLogs)))
loggers.add_log_record_processor(BatchLogRecordProcessor(http(HttpLogs, "logs")))

tracer = tracers.get_tracer("shop", "0.1", attributes={"scope": "yes"})
logger = loggers.get_logger("shop.logs", "0.2")
meter = meters.get_meter("shop.metrics", "0.3")
orders = meter.create_counter("orders", unit="{order}", description="orders taken")
load = meter.create_up_down_counter("load")
took = meter.create_histogram("took", unit="s")
temperature = meter.create_gauge("temperature")
for n in range(50):
    with tracer.start_as_current_span(f"parent {n}", kind=trace.SpanKind.SERVER, attributes={"n": n, "half": n / 2, "even": n % 2 == 0, "text": "é\u0000✓", "many": [1, 2, n]}) as parent:
        parent.add_event("event", {"at": n})
        with tracer.start_as_current_span("child", links=[trace.Link(parent.get_span_context(), {"l": "x"})]) as child:
            if n % 5 == 0:
                child.record_exception(ValueError("wrong"))
                child.set_status(trace.StatusCode.ERROR, "failed")
            logger.emit(timestamp=1_700_000_000_000_000_000 + n, severity_number=SeverityNumber.WARN, severity_text="WARN", body={"text": f"line {n}", "deep": [1, {"a": None if n % 2 else "b"}]}, attributes={"n": n, "bytes": b"\x00\xff"})
    orders.add(n, {"kind": "abc"[n % 3]})
    load.add((-1) ** n)
    took.record(n / 10, {"route": "/x"})
    temperature.set(n * 1.5)
for provider in (tracers, meters, loggers):
    provider.force_flush()
    provider.shutdown()
logging.shutdown()
print("sent")
