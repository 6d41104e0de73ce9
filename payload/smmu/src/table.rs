//! Stream tables and context descriptors.
