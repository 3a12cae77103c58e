//! The process's handles and the whole exposition: metrics, and the figures of the process itself.

use std::sync::OnceLock;

use super::names::Metrics;
use super::{exporter, process};

/// Creates every handle, so that all series are there, at 0, from the first scrape on.
pub fn install() {
    metrics();
}

/// The process's handles, created by the first call.
pub(crate) fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

/// Everything in Prometheus' text format, the process's own figures included.
pub(crate) fn render() -> String {
    install();
    let mut output = exporter::render();
    process::render(&mut output);
    output
}
