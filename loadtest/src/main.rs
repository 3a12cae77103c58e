//! The `loadtest` command.
#![forbid(unsafe_code)]

fn main() {}
