//! What Seawall says about itself: metrics, events, logs. Rank 3.
//!
//! To add a metric, add one entry to the table in `names.rs`; to count, call its handle
//! (`metrics().bytes_sent.increment(n)`) or, better, write an event (`events/`), which logs and
//! counts in one place. A handle is looked up once for the process: an increment is an atomic.
//! Must not know who emits.

pub mod events;
mod handles;
pub mod label;
pub mod logging;
pub mod names;
mod process;
mod registry;

pub use handles::{Family, GaugeFamily, Histogram};
pub use label::Label;
pub use metrics::{Counter, Gauge};
pub use names::{Kind, Metric, Metrics, ServerMetrics};
pub use process::resident_bytes;
pub use registry::{install, metrics, reference, render, value};
