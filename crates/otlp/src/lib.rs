//! OTLP messages: protobuf and JSON encoders, decoders, sizes. No IO, no clock.
