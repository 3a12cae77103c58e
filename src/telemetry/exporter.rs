//! The process's one exporter: it creates series and writes them as text for Prometheus.
//!
//! Handles come from the table in `names` alone, because the process has no global recorder: so every
//! counter has a name there. Handles live as long as the process. Must not know which metrics there are.

use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Key, KeyName, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;

use super::description::{Description, Pair};
use super::histogram::{Bounds, Buckets, Histogram, Series};

struct Exporter {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// Latencies, which Seawall renders itself. The list grows only while handles are created.
    histograms: Mutex<Vec<Series>>,
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// Creates the series of one set of handles, all with the same labels in front.
pub(super) struct Registrar<'a> {
    exporter: &'a Exporter,
    common: Option<(&'static str, &'a str)>,
}

impl Registrar<'_> {
    fn key(&self, metric: Description, labels: &[Pair]) -> Key {
        let common = self.common.map(|(key, value)| metrics::Label::new(key, value.to_owned()));
        let own = labels.iter().map(|(key, value)| metrics::Label::from_static_parts(key, value));
        Key::from_parts(metric.name, common.into_iter().chain(own).collect::<Vec<_>>())
    }

    pub(super) fn counter(&self, metric: Description, labels: &[Pair]) -> Counter {
        let (name, help) = words(metric);
        self.exporter.recorder.describe_counter(name, None, help);
        self.exporter.recorder.register_counter(&self.key(metric, labels), &METADATA)
    }

    pub(super) fn gauge(&self, metric: Description, labels: &[Pair]) -> Gauge {
        let (name, help) = words(metric);
        self.exporter.recorder.describe_gauge(name, None, help);
        self.exporter.recorder.register_gauge(&self.key(metric, labels), &METADATA)
    }

    /// One histogram for each label, or one without.
    pub(super) fn histograms<B: Bounds>(
        &self,
        metric: Description,
        labels: impl Iterator<Item = Option<Pair>>,
    ) -> Vec<Histogram<B>> {
        let split: Vec<_> = labels.map(|label| (label, Buckets::new(B::MICROS))).collect();
        let histograms = split.iter().map(|(_, buckets)| Histogram::over(Arc::clone(buckets)));
        let histograms = histograms.collect();
        self.exporter.histograms.lock().push(Series { metric, split });
        histograms
    }
}

fn words(metric: Description) -> (KeyName, SharedString) {
    (KeyName::from_const_str(metric.name), SharedString::const_str(metric.help))
}

fn exporter() -> &'static Exporter {
    static EXPORTER: OnceLock<Exporter> = OnceLock::new();
    EXPORTER.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        Exporter { handle: recorder.handle(), recorder, histograms: Mutex::default() }
    })
}

/// Runs `create` with a registrar that puts the label `common` on every series.
pub(super) fn register<T>(
    common: Option<(&'static str, &str)>,
    create: impl FnOnce(&Registrar<'_>) -> T,
) -> T {
    create(&Registrar { exporter: exporter(), common })
}

/// Every series in Prometheus' text format.
pub(super) fn render() -> String {
    let exporter = exporter();
    let mut output = exporter.handle.render();
    for series in exporter.histograms.lock().iter() {
        series.render(&mut output);
    }
    output
}
