// Sends spans, metrics and logs with the OpenTelemetry SDK, each export to two places: DIRECT and VIA, over gRPC and HTTP
// (spans and logs as JSON, metrics as protobuf).
import { SpanKind, SpanStatusCode, context, trace } from '@opentelemetry/api';
import { SeverityNumber } from '@opentelemetry/api-logs';
import { OTLPLogExporter as GrpcLogs } from '@opentelemetry/exporter-logs-otlp-grpc';
import { OTLPLogExporter as HttpLogs } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPMetricExporter as GrpcMetrics } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as HttpMetrics } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as GrpcSpans } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as HttpSpans } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';

const { DIRECT, VIA_GRPC, VIA_HTTP } = process.env;
const resource = resourceFromAttributes({ 'service.name': 'sdk-node', flags: [true, false] });

// One export is made to two exporters.
function both(Exporter, first, second) {
  const [a, b] = [new Exporter({ url: first }), new Exporter({ url: second })];
  const sent = (to, batch) => new Promise((done) => to.export(batch, done));
  const out = Object.create(a);
  out.export = async (batch, done) => {
    const results = [await sent(a, batch), await sent(b, batch)];
    const failed = results.find((r) => r.code !== 0);
    if (failed) console.error('failed', failed.error);
    done(failed ?? results[0]);
  };
  out.shutdown = async () => Promise.all([a.shutdown(), b.shutdown()]);
  out.forceFlush = async () => {};
  return out;
}
const grpc = (Exporter) => both(Exporter, DIRECT, VIA_GRPC);
const http = (Exporter, path) => both(Exporter, `${DIRECT}/v1/${path}`, `${VIA_HTTP}/v1/${path}`);

const tracers = new TracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor({ exporter: grpc(GrpcSpans) }), new BatchSpanProcessor({ exporter: http(HttpSpans, 'traces') })],
});
const reader = (exporter) => new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
const meters = new MeterProvider({ resource, readers: [reader(grpc(GrpcMetrics)), reader(http(HttpMetrics, 'metrics'))] });
const logProcessor = (exporter) => new BatchLogRecordProcessor({ exporter });
const loggers = new LoggerProvider({ resource, processors: [logProcessor(grpc(GrpcLogs)), logProcessor(http(HttpLogs, 'logs'))] });

const tracer = tracers.getTracer('shop', '0.1');
const logger = loggers.getLogger('shop.logs', '0.2');
const meter = meters.getMeter('shop.metrics', '0.3');
const orders = meter.createCounter('orders', { unit: '{order}' });
const load = meter.createUpDownCounter('load');
const took = meter.createHistogram('took', { unit: 's' });
for (let n = 0; n < 50; n++) {
  const parent = tracer.startSpan(`parent ${n}`, { kind: SpanKind.CLIENT, attributes: { n, half: n / 2, even: n % 2 === 0, text: 'é✓', many: ['a', 'b'] } });
  const child = tracer.startSpan('child', { links: [{ context: parent.spanContext(), attributes: { l: 'x' } }] }, trace.setSpan(context.active(), parent));
  if (n % 5 === 0) {
    child.recordException(new Error('wrong'));
    child.setStatus({ code: SpanStatusCode.ERROR, message: 'failed' });
  }
  parent.addEvent('event', { at: n });
  logger.emit({ timestamp: 1_700_000_000_000 + n, severityNumber: SeverityNumber.INFO, severityText: 'INFO', body: { text: `line ${n}`, deep: [1, { a: 'b' }] }, attributes: { n } });
  orders.add(n, { kind: 'abc'[n % 3] });
  load.add(n % 2 ? 1 : -1);
  took.record(n / 10, { route: '/x' });
  child.end();
  parent.end();
}
for (const provider of [tracers, meters, loggers]) {
  await provider.forceFlush();
  await provider.shutdown();
}
console.log('sent');
