//! Tests of the session's rules.
