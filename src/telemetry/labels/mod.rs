//! The closed sets of words by which metrics are split: one enum for each label.
//!
//! What the core decides is labelled by the core's own types (`decisions`). The other files hold the
//! sets that only telemetry needs. Events show these types to their senders.

pub(super) mod cluster;
mod decisions;
pub(super) mod edge;
pub(super) mod fleet;
pub(super) mod fronts;
pub(super) mod homes;
pub(super) mod sessions;
pub(super) mod upstream;
