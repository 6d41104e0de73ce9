//! The bounded access log.
