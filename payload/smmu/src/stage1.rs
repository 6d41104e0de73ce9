//! Stage-1 translation tables.
