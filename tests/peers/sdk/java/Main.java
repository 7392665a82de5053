import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.logs.Severity;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Context;
import io.opentelemetry.exporter.otlp.http.logs.OtlpHttpLogRecordExporter;
import io.opentelemetry.exporter.otlp.http.metrics.OtlpHttpMetricExporter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.exporter.otlp.logs.OtlpGrpcLogRecordExporter;
import io.opentelemetry.exporter.otlp.metrics.OtlpGrpcMetricExporter;
import io.opentelemetry.exporter.otlp.trace.OtlpGrpcSpanExporter;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.logs.SdkLoggerProvider;
import io.opentelemetry.sdk.logs.export.BatchLogRecordProcessor;
import io.opentelemetry.sdk.logs.export.LogRecordExporter;
import io.opentelemetry.sdk.metrics.InstrumentType;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.metrics.data.AggregationTemporality;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.metrics.export.MetricExporter;
import io.opentelemetry.sdk.metrics.export.PeriodicMetricReader;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Sends spans, metrics and logs with the OpenTelemetry SDK, each export to two places: DIRECT and VIA, over gRPC and HTTP. */
public class Main {
  /** One export is made to two exporters. */
  record BothMetrics(MetricExporter a, MetricExporter b) implements MetricExporter {
    public AggregationTemporality getAggregationTemporality(InstrumentType type) { return a.getAggregationTemporality(type); }
    public CompletableResultCode export(Collection<MetricData> metrics) { return CompletableResultCode.ofAll(List.of(a.export(metrics), b.export(metrics))); }
    public CompletableResultCode flush() { return CompletableResultCode.ofAll(List.of(a.flush(), b.flush())); }
    public CompletableResultCode shutdown() { return CompletableResultCode.ofAll(List.of(a.shutdown(), b.shutdown())); }
  }

  static void done(CompletableResultCode code) {
    if (!code.join(30, TimeUnit.SECONDS).isSuccess()) {
      throw new IllegalStateException("an export failed");
    }
  }

  public static void main(String[] args) {
    String direct = System.getenv("DIRECT"), viaGrpc = System.getenv("VIA_GRPC"), viaHttp = System.getenv("VIA_HTTP");
    Resource of = Resource.create(Attributes.of(AttributeKey.stringKey("service.name"), "sdk-java", AttributeKey.longArrayKey("numbers"), List.of(1L, 2L)));
    SdkTracerProvider tracers = SdkTracerProvider.builder().setResource(of)
        .addSpanProcessor(BatchSpanProcessor.builder(SpanExporter.composite(
            OtlpGrpcSpanExporter.builder().setEndpoint(direct).build(), OtlpGrpcSpanExporter.builder().setEndpoint(viaGrpc).setCompression("gzip").build())).build())
        .addSpanProcessor(BatchSpanProcessor.builder(SpanExporter.composite(
            OtlpHttpSpanExporter.builder().setEndpoint(direct + "/v1/traces").build(), OtlpHttpSpanExporter.builder().setEndpoint(viaHttp + "/v1/traces").setCompression("gzip").build())).build())
        .build();
    SdkMeterProvider meters = SdkMeterProvider.builder().setResource(of)
        .registerMetricReader(PeriodicMetricReader.builder(new BothMetrics(
            OtlpGrpcMetricExporter.builder().setEndpoint(direct).build(), OtlpGrpcMetricExporter.builder().setEndpoint(viaGrpc).build())).build())
        .registerMetricReader(PeriodicMetricReader.builder(new BothMetrics(
            OtlpHttpMetricExporter.builder().setEndpoint(direct + "/v1/metrics").build(), OtlpHttpMetricExporter.builder().setEndpoint(viaHttp + "/v1/metrics").build())).build())
        .build();
    SdkLoggerProvider loggers = SdkLoggerProvider.builder().setResource(of)
        .addLogRecordProcessor(BatchLogRecordProcessor.builder(LogRecordExporter.composite(
            OtlpGrpcLogRecordExporter.builder().setEndpoint(direct).build(), OtlpGrpcLogRecordExporter.builder().setEndpoint(viaGrpc).build())).build())
        .addLogRecordProcessor(BatchLogRecordProcessor.builder(LogRecordExporter.composite(
            OtlpHttpLogRecordExporter.builder().setEndpoint(direct + "/v1/logs").build(), OtlpHttpLogRecordExporter.builder().setEndpoint(viaHttp + "/v1/logs").build())).build())
        .build();
    var tracer = tracers.tracerBuilder("shop").setInstrumentationVersion("0.1").setSchemaUrl("https://opentelemetry.io/schemas/1.26.0").build();
    var logger = loggers.loggerBuilder("shop.logs").build();
    var meter = meters.meterBuilder("shop.metrics").build();
    var orders = meter.counterBuilder("orders").setUnit("{order}").build();
    var took = meter.histogramBuilder("took").setUnit("s").build();
    var load = meter.upDownCounterBuilder("load").build();
    for (int n = 0; n < 50; n++) {
      Span parent = tracer.spanBuilder("parent " + n).setSpanKind(SpanKind.PRODUCER).setAttribute("n", n).setAttribute("half", n / 2.0).setAttribute("text", "é✓").startSpan();
      Span child = tracer.spanBuilder("child").setParent(Context.root().with(parent)).addLink(parent.getSpanContext(), Attributes.of(AttributeKey.stringKey("l"), "x")).startSpan();
      if (n % 5 == 0) {
        child.recordException(new IllegalStateException("wrong"));
        child.setStatus(StatusCode.ERROR, "failed");
      }
      logger.logRecordBuilder().setContext(Context.root().with(child)).setTimestamp(1_700_000_000_000_000_000L + n, TimeUnit.NANOSECONDS).setSeverity(Severity.ERROR).setBody("line " + n).setAttribute(AttributeKey.longKey("n"), (long) n).emit();
      orders.add(n, Attributes.of(AttributeKey.stringKey("kind"), "abc".substring(n % 3, n % 3 + 1)));
      took.record(n / 10.0);
      load.add(-n);
      child.end();
      parent.end();
    }
    done(CompletableResultCode.ofAll(List.of(tracers.shutdown(), meters.shutdown(), loggers.shutdown())));
    System.out.println("sent");
  }
}
