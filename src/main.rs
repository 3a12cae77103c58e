//! The `seawall` command.
#![forbid(unsafe_code)]

fn main() {}
