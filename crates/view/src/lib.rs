//! The embedded store, its API and the web page. Knows OTLP records, features and the ledger, never a source.

pub mod settings;
