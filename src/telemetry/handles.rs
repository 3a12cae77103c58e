//! Handles of metrics: what is held so that no event looks a name up.
//!
//! A handle is one metric, or one metric for each value of a label. Each knows how to register
//! itself, which is all that the table in `names.rs` asks of a type.

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use metrics::{Counter, Gauge};

use super::label::Label;
use super::names::{Kind, Metric};
use super::registry::Registrar;

/// A type of handle that the table of metrics may use.
pub(super) trait Handle: Sized {
    /// What Prometheus is told it is.
    const KIND: Kind;
    /// The key of the label by which it is split, with every value.
    fn label() -> Option<(&'static str, Vec<&'static str>)> {
        None
    }
    /// Creates its series, each with the registrar's own labels added.
    fn register(registrar: &Registrar<'_>, metric: Metric) -> Self;
}

impl Handle for Counter {
    const KIND: Kind = Kind::Counter;

    fn register(registrar: &Registrar<'_>, metric: Metric) -> Self {
        registrar.counter(metric, None)
    }
}

impl Handle for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn register(registrar: &Registrar<'_>, metric: Metric) -> Self {
        registrar.gauge(metric, None)
    }
}

fn values<L: Label>() -> Option<(&'static str, Vec<&'static str>)> {
    Some((L::KEY, L::ALL.iter().map(|value| value.as_str()).collect()))
}

/// One counter for each value of a label.
pub struct Family<L: Label>(Box<[Counter]>, PhantomData<L>);

impl<L: Label> Family<L> {
    /// The counter of one value.
    pub fn with(&self, value: L) -> &Counter {
        &self.0[value.index()]
    }
}

impl<L: Label> Handle for Family<L> {
    const KIND: Kind = Kind::Counter;

    fn label() -> Option<(&'static str, Vec<&'static str>)> {
        values::<L>()
    }

    fn register(registrar: &Registrar<'_>, metric: Metric) -> Self {
        let of = |value: &L| registrar.counter(metric, Some((L::KEY, value.as_str())));
        Self(L::ALL.iter().map(of).collect(), PhantomData)
    }
}

/// One gauge for each value of a label.
pub struct GaugeFamily<L: Label>(Box<[Gauge]>, PhantomData<L>);

impl<L: Label> GaugeFamily<L> {
    /// The gauge of one value.
    pub fn with(&self, value: L) -> &Gauge {
        &self.0[value.index()]
    }
}

impl<L: Label> Handle for GaugeFamily<L> {
    const KIND: Kind = Kind::Gauge;

    fn label() -> Option<(&'static str, Vec<&'static str>)> {
        values::<L>()
    }

    fn register(registrar: &Registrar<'_>, metric: Metric) -> Self {
        let of = |value: &L| registrar.gauge(metric, Some((L::KEY, value.as_str())));
        Self(L::ALL.iter().map(of).collect(), PhantomData)
    }
}

/// Upper bounds of a latency's buckets, in microseconds; the last bucket has none.
const BOUNDS_MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// A latency histogram of fixed buckets. The exporter's own keeps every sample until it is next
/// scraped, which nothing bounds when nobody scrapes; this one is sixteen atomics.
#[derive(Clone, Default)]
pub struct Histogram(Arc<Buckets>);

#[derive(Default)]
struct Buckets {
    counts: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts one observation.
    pub fn record(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes the series in Prometheus' text format.
    #[allow(clippy::cast_precision_loss)] // Beyond 2^53 microseconds a rounded sum will do.
    pub(super) fn render(&self, metric: Metric, output: &mut String) {
        let (name, help) = (metric.name(), metric.help());
        // Writing to a String cannot fail.
        let _ = writeln!(output, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut total = 0;
        for (place, count) in self.0.counts.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            match BOUNDS_MICROS.get(place) {
                Some(bound) => {
                    let seconds = *bound as f64 / 1e6;
                    let _ = writeln!(output, "{name}_bucket{{le=\"{seconds}\"}} {total}");
                }
                None => {
                    let _ = writeln!(output, "{name}_bucket{{le=\"+Inf\"}} {total}");
                }
            }
        }
        let sum = self.0.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(output, "{name}_sum {sum}\n{name}_count {total}\n");
    }
}

impl Handle for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn register(registrar: &Registrar<'_>, metric: Metric) -> Self {
        registrar.histogram(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_counts_in_every_bucket_it_fits() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(100));
        histogram.record(Duration::from_millis(3));
        histogram.record(Duration::from_secs(60));
        let mut text = String::new();
        histogram.render(Metric::ReplySeconds, &mut text);
        assert!(text.contains("_bucket{le=\"0.0001\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"0.0025\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"0.005\"} 2\n"), "{text}");
        assert!(text.contains("_bucket{le=\"10\"} 2\n"), "{text}");
        assert!(text.contains("_bucket{le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.contains("_sum 60.0031\n"), "{text}");
    }
}
