//! Sinks: OTLP (gRPC, HTTP), OTLP/JSON file, Prometheus exposition.
