//! The process's one registry of metrics, and its text for Prometheus.
//!
//! No global recorder is set: a handle can only come from the table in `names.rs`, so that nothing
//! unnamed can be counted. Handles live as long as the process.

use std::fmt::Write as _;
use std::sync::OnceLock;

use metrics::{Counter, Gauge, Key, KeyName, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;

use super::handles::Histogram;
use super::names::{Kind, Metric, Metrics};
use super::process;

struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// Kept here because the exporter does not know them; grows only while handles are created.
    histograms: Mutex<Vec<(Metric, Histogram)>>,
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// Creates the series of one set of handles, all with the same labels in front.
pub(super) struct Registrar<'a> {
    registry: &'a Registry,
    common: Option<(&'static str, &'a str)>,
}

impl Registrar<'_> {
    fn key(&self, metric: Metric, label: Option<(&'static str, &'static str)>) -> Key {
        let common = self.common.map(|(key, value)| metrics::Label::new(key, value.to_owned()));
        let own = label.map(|(key, value)| metrics::Label::from_static_parts(key, value));
        Key::from_parts(metric.name(), common.into_iter().chain(own).collect::<Vec<_>>())
    }

    pub(super) fn counter(
        &self,
        metric: Metric,
        label: Option<(&'static str, &'static str)>,
    ) -> Counter {
        self.registry.recorder.register_counter(&self.key(metric, label), &METADATA)
    }

    pub(super) fn gauge(
        &self,
        metric: Metric,
        label: Option<(&'static str, &'static str)>,
    ) -> Gauge {
        self.registry.recorder.register_gauge(&self.key(metric, label), &METADATA)
    }

    pub(super) fn histogram(&self, metric: Metric) -> Histogram {
        let histogram = Histogram::default();
        self.registry.histograms.lock().push((metric, histogram.clone()));
        histogram
    }
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        for metric in Metric::ALL {
            let name = KeyName::from_const_str(metric.name());
            let help = SharedString::const_str(metric.help());
            match metric.kind() {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => {}
            }
        }
        Registry { handle: recorder.handle(), recorder, histograms: Mutex::default() }
    })
}

/// Runs `create` with a registrar that puts the label `common` on every series.
pub(super) fn register<T>(
    common: Option<(&'static str, &str)>,
    create: impl FnOnce(&Registrar<'_>) -> T,
) -> T {
    create(&Registrar { registry: registry(), common })
}

/// Creates every handle, so that all series are there, at 0, from the first scrape on. May be
/// called more than once, and need not be: [`metrics()`] does it when first used.
pub fn install() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| register(None, Metrics::register))
}

/// The process's handles.
pub fn metrics() -> &'static Metrics {
    install()
}

/// Everything in Prometheus' text format, the process's own figures included.
pub fn render() -> String {
    install();
    let mut output = registry().handle.render();
    for (metric, histogram) in registry().histograms.lock().iter() {
        histogram.render(*metric, &mut output);
    }
    process::render(&mut output);
    output
}

/// The value of one series now, named as in the exposition (`name` or `name{label="value"}`).
/// Renders everything: for tests and diagnosis, not for the data path.
pub fn value(series: &str) -> Option<f64> {
    let text = render();
    let line = text
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The tables of docs/METRICS.md: every metric with its kind, labels and meaning.
pub fn reference() -> String {
    let mut output = String::from("| name | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in Metric::ALL {
        let mut labels: Vec<String> = Vec::new();
        for (key, values) in metric.labels() {
            labels.push(match values.as_slice() {
                [] => format!("`{key}`"),
                values => format!("`{key}`: {}", values.join(", ")),
            });
        }
        let (name, kind, help) = (metric.name(), metric.kind(), metric.help());
        let _ = writeln!(output, "| `{name}` | {kind} | {} | {help} |", labels.join("; "));
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::ServerMetrics;
    use crate::telemetry::events::edge::Transport;
    use crate::telemetry::events::upstream::DialResult;

    #[test]
    fn what_is_counted_is_rendered() {
        metrics().messages_received.with(Transport::Http).increment(3);
        let series = "seawall_edge_received_messages_total{transport=\"http\"}";
        assert!(value(series).unwrap() >= 3.0);
        assert!(render().contains("# HELP seawall_edge_received_messages_total "));
    }

    #[test]
    fn a_servers_series_carry_its_name() {
        let server = ServerMetrics::new("of this test");
        server.dials.with(DialResult::Up).increment(1);
        ServerMetrics::new("of this test").dials.with(DialResult::Up).increment(1);
        let series = "seawall_upstream_dials_total{server=\"of this test\",result=\"up\"}";
        assert_eq!(value(series), Some(2.0));
    }

    #[test]
    fn every_metric_is_there_before_anything_happened() {
        ServerMetrics::new("quiet");
        let text = render();
        for metric in Metric::ALL {
            assert!(text.contains(metric.name()), "{} is not exposed", metric.name());
        }
    }

    /// `UPDATE_DOCS=1 cargo test docs` writes the file.
    #[test]
    fn docs_list_every_metric() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");
        let (start, end) = ("<!-- generated -->\n", "<!-- end -->");
        let text = std::fs::read_to_string(path).unwrap();
        let (head, rest) = text.split_once(start).unwrap();
        let (listed, tail) = rest.split_once(end).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let updated = format!("{head}{start}{}{end}{tail}", reference());
            std::fs::write(path, updated).unwrap();
        } else {
            assert_eq!(listed, reference(), "run `make docs-update`");
        }
    }

    #[test]
    fn the_readme_names_metrics_that_exist() {
        let text = include_str!("../../README.md");
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("seawall_")) {
            assert!(Metric::ALL.iter().any(|metric| metric.name() == word), "{word}");
        }
    }
}
