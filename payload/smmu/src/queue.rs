//! Command and event queues.
