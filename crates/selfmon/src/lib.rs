//! Telegen's own metrics, the ledger, feature states, health and logs.
