//! What tests share: OTLP sink, load generator, fixtures. A dev-dependency only.
