//! OpAMP's bytes: header, scan, splice, replies. Rank 1: no tokio, no policy.

/// The generated message types (`proto/opamp/v1`), for what is read inside and for tests.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/opamp.proto.v1.rs"));
}
