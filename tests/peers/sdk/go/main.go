// Sends spans and metrics with the OpenTelemetry SDK, each export to two places: DIRECT and VIA, over gRPC and HTTP.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type bothSpans struct{ to [2]sdktrace.SpanExporter }

func (b bothSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return errors.Join(b.to[0].ExportSpans(ctx, spans), b.to[1].ExportSpans(ctx, spans))
}

func (b bothSpans) Shutdown(ctx context.Context) error {
	return errors.Join(b.to[0].Shutdown(ctx), b.to[1].Shutdown(ctx))
}

type bothMetrics struct {
	sdkmetric.Exporter
	second sdkmetric.Exporter
}

func (b bothMetrics) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	return errors.Join(b.Exporter.Export(ctx, metrics), b.second.Export(ctx, metrics))
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func bare(url string) string { return strings.TrimPrefix(url, "http://") }

func main() {
	ctx := context.Background()
	direct, viaGrpc, viaHttp := bare(os.Getenv("DIRECT")), bare(os.Getenv("VIA_GRPC")), bare(os.Getenv("VIA_HTTP"))
	of := resource.NewSchemaless(attribute.String("service.name", "sdk-go"), attribute.Int("number", 7))
	grpcSpans := func(to string) sdktrace.SpanExporter {
		return must(otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(to), otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip")))
	}
	httpSpans := func(to string) sdktrace.SpanExporter {
		return must(otlptracehttp.New(ctx, otlptracehttp.WithEndpoint(to), otlptracehttp.WithInsecure(), otlptracehttp.WithCompression(otlptracehttp.GzipCompression)))
	}
	grpcMetrics := func(to string) sdkmetric.Exporter {
		return must(otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpoint(to), otlpmetricgrpc.WithInsecure()))
	}
	httpMetrics := func(to string) sdkmetric.Exporter {
		return must(otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpoint(to), otlpmetrichttp.WithInsecure()))
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithResource(of),
		sdktrace.WithBatcher(bothSpans{[2]sdktrace.SpanExporter{grpcSpans(direct), grpcSpans(viaGrpc)}}),
		sdktrace.WithBatcher(bothSpans{[2]sdktrace.SpanExporter{httpSpans(direct), httpSpans(viaHttp)}}))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(of),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(bothMetrics{grpcMetrics(direct), grpcMetrics(viaGrpc)})),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(bothMetrics{httpMetrics(direct), httpMetrics(viaHttp)})),
		sdkmetric.WithView(sdkmetric.NewView(sdkmetric.Instrument{Name: "exponential"},
			sdkmetric.Stream{Aggregation: sdkmetric.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20}})))
	tracer := tracers.Tracer("shop", trace.WithInstrumentationVersion("0.1"), trace.WithSchemaURL("https://opentelemetry.io/schemas/1.26.0"))
	meter := meters.Meter("shop.metrics")
	orders := must(meter.Int64Counter("orders", metric.WithUnit("{order}")))
	took := must(meter.Float64Histogram("took"))
	exponential := must(meter.Float64Histogram("exponential"))
	load := must(meter.Int64UpDownCounter("load"))
	for n := range 50 {
		with, parent := tracer.Start(ctx, fmt.Sprint("parent ", n), trace.WithSpanKind(trace.SpanKindConsumer),
			trace.WithAttributes(attribute.Int("n", n), attribute.Float64Slice("list", []float64{0.5, float64(n)}), attribute.Bool("even", n%2 == 0)))
		inner, child := tracer.Start(with, "child", trace.WithLinks(trace.LinkFromContext(with, attribute.String("l", "x"))))
		if n%5 == 0 {
			child.RecordError(errors.New("wrong"))
			child.SetStatus(codes.Error, "failed")
		}
		orders.Add(inner, int64(n), metric.WithAttributes(attribute.Int("kind", n%3)))
		took.Record(inner, float64(n)/10)
		exponential.Record(inner, float64(n*n)/7)
		load.Add(inner, -1)
		child.End()
		parent.End()
	}
	if err := errors.Join(tracers.Shutdown(ctx), meters.Shutdown(ctx)); err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent")
}
