//! What Seawall says about itself: metrics, events, logs. Rank 3.
//!
//! To add a metric, add one entry to the table in `names.rs`; to count, call its handle
//! (`metrics().bytes_sent.increment(n)`) or, better, write an event (`events/`), which logs and
//! counts in one place. A handle is looked up once for the process: an increment is an atomic.
//! Labels are closed sets (`labels/`). Must not know who emits.

mod description;
#[cfg(test)]
mod documented;
pub(crate) mod events;
mod exporter;
mod handles;
mod histogram;
mod label;
mod labels;
mod log_lines;
pub mod logging;
mod names;
mod process;
mod registry;
#[cfg(test)]
mod tests;
mod text;

pub(crate) use label::Label;
pub(crate) use names::ServerMetrics;
pub(crate) use process::resident_bytes;
pub use registry::install;
pub(crate) use registry::render;
pub use text::explained;
pub(crate) use text::thousands;
