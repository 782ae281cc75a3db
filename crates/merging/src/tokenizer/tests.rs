//! Tests across the parts.
