//! What Seawall says about itself: metrics, events, logs. Rank 3.
//!
//! To add a metric, add one entry to the table in `names.rs`; to count, call its handle
//! (`metrics().bytes_sent.increment(n)`) or, better, write an event (`events/`), which logs and
//! counts in one place. A handle is looked up once for the process: an increment is an atomic.
//! Labels are closed sets (`labels/`). Must not know who emits.

mod description;
#[cfg(test)]
mod documented;
pub mod events;
mod exporter;
mod handles;
mod histogram;
mod label;
mod labels;
pub mod logging;
mod names;
mod process;
mod registry;
#[cfg(test)]
mod tests;
mod text;

pub use handles::{Family, GaugeFamily};
pub use histogram::Histogram;
pub use label::Label;
pub use names::ServerMetrics;
pub use process::resident_bytes;
pub use registry::{install, metrics, render, value};
pub use text::thousands;
