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
pub fn metrics() -> &'static Metrics {
    install()
}

/// Everything in Prometheus' text format, the process's own figures included.
pub fn render() -> String {
    install();
    let mut output = exporter::render();
    process::render(&mut output);
    output
}

/// The value of one series now, named as in the exposition (`name` or `name{label="value"}`).
/// Renders everything, so it is for tests and diagnosis alone.
pub fn value(series: &str) -> Option<f64> {
    let text = render();
    let line = text
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}
