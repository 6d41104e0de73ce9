//! Read-only snapshots.
