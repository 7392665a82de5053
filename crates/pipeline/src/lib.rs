//! Batches, bounded queues, routing, acknowledgement, ordered shutdown.
