//! The generated message types (`proto/opamp/v1`), for what is read inside and for tests.
#![allow(missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/opamp.proto.v1.rs"));
