//! The process's handles and the whole exposition: metrics, and the figures of the process itself.

use std::sync::OnceLock;

use super::names::Metrics;
use super::{exporter, process};

/// Creates every handle, so that all series are there, at 0, from the first scrape on. Later calls
/// return the same handles; [`metrics()`] is one of them.
pub fn install() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

/// The process's handles.
pub(super) fn metrics() -> &'static Metrics {
    install()
}

/// Everything in Prometheus' text format, the process's own figures included.
pub(crate) fn render() -> String {
    install();
    let mut output = exporter::render();
    process::render(&mut output);
    output
}
