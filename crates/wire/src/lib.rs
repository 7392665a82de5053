//! Protocol parsers over bytes that may be cut anywhere, one folder each. No IO, no clock.

pub mod classify;
pub mod context;
pub mod http1;
pub mod mask;
pub mod proxy_protocol;
