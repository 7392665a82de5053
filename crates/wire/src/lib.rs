//! Protocol parsers over bytes that may be cut anywhere, one folder each. No IO, no clock.
