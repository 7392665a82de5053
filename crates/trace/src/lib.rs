//! Connections to requests to spans and RED metrics.
