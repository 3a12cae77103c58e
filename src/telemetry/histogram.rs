//! A latency as Prometheus counts it: observations in buckets of fixed bounds.

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::description::{Description, Pair};

/// Upper bounds of the buckets of one kind of histogram, in microseconds; one more bucket takes all above.
pub(super) trait Bounds: 'static {
    /// Rising.
    const MICROS: &'static [u64];
}

/// How long machines take: up to ten seconds.
pub(super) struct Latencies;

impl Bounds for Latencies {
    const MICROS: &'static [u64] = &[
        100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
        2_500_000, 10_000_000,
    ];
}

/// How long agents and shards wait: up to five minutes, past every default (`admission.patient_ttl` is 90 s).
pub(super) struct Waits;

impl Bounds for Waits {
    const MICROS: &'static [u64] = &[
        1_000,
        10_000,
        50_000,
        100_000,
        250_000,
        500_000,
        1_000_000,
        2_500_000,
        5_000_000,
        10_000_000,
        20_000_000,
        30_000_000,
        45_000_000,
        60_000_000,
        90_000_000,
        120_000_000,
        300_000_000,
    ];
}

/// A histogram of fixed buckets: some atomics. The exporter's own histogram stores every
/// sample until the next scrape, so its memory would grow until Prometheus comes.
pub(super) struct Histogram<B: Bounds = Latencies>(Arc<Buckets>, PhantomData<B>);

/// What a histogram has counted.
pub(super) struct Buckets {
    bounds: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum_micros: AtomicU64,
}

impl Buckets {
    /// Without any.
    pub(super) fn new(bounds: &'static [u64]) -> Arc<Self> {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { bounds, counts, sum_micros: AtomicU64::new(0) })
    }
}

impl<B: Bounds> Histogram<B> {
    /// Counts in these buckets.
    pub(super) const fn over(buckets: Arc<Buckets>) -> Self {
        Self(buckets, PhantomData)
    }

    /// Counts one observation.
    pub(super) fn record(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        let bucket = B::MICROS.partition_point(|bound| *bound < micros);
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// The series of one metric, each with its label, if it has one.
pub(super) struct Series {
    pub(super) metric: Description,
    pub(super) split: Vec<(Option<Pair>, Arc<Buckets>)>,
}

impl Series {
    /// Writes them in Prometheus' text format.
    pub(super) fn render(&self, output: &mut String) {
        let Description { name, help } = self.metric;
        // Writing to a String always succeeds.
        let _ = writeln!(output, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (label, buckets) in &self.split {
            buckets.render(name, *label, output);
        }
        output.push('\n');
    }
}

impl Buckets {
    #[allow(clippy::cast_precision_loss)] // Beyond 2^53 microseconds a rounded sum will do.
    fn render(&self, name: &str, label: Option<Pair>, output: &mut String) {
        let (own, alone) = match label {
            Some((key, value)) => (format!("{key}=\"{value}\","), format!("{{{key}=\"{value}\"}}")),
            None => (String::new(), String::new()),
        };
        let mut total = 0;
        for (place, count) in self.counts.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            let bound = match self.bounds.get(place) {
                Some(micros) => (*micros as f64 / 1e6).to_string(),
                None => "+Inf".to_owned(),
            };
            let _ = writeln!(output, "{name}_bucket{{{own}le=\"{bound}\"}} {total}");
        }
        let sum = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(output, "{name}_sum{alone} {sum}\n{name}_count{alone} {total}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRIC: Description = Description { name: "seconds", help: "Of this test." };

    #[test]
    fn an_observation_counts_in_every_bucket_it_fits() {
        let buckets = Buckets::new(Latencies::MICROS);
        let histogram = Histogram::<Latencies>::over(Arc::clone(&buckets));
        histogram.record(Duration::from_micros(100));
        histogram.record(Duration::from_millis(3));
        histogram.record(Duration::from_secs(60));
        let mut text = String::new();
        Series { metric: METRIC, split: vec![(None, buckets)] }.render(&mut text);
        assert!(text.contains("_bucket{le=\"0.0001\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"0.0025\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"0.005\"} 2\n"), "{text}");
        assert!(text.contains("_bucket{le=\"10\"} 2\n"), "{text}");
        assert!(text.contains("_bucket{le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.contains("_sum 60.0031\n"), "{text}");
    }

    #[test]
    fn series_of_one_metric_share_its_head_and_have_their_label() {
        let (one, other) = (Buckets::new(Waits::MICROS), Buckets::new(Waits::MICROS));
        Histogram::<Waits>::over(Arc::clone(&one)).record(Duration::from_secs(80));
        let split = vec![(Some(("source", "a")), one), (Some(("source", "b")), other)];
        let mut text = String::new();
        Series { metric: METRIC, split }.render(&mut text);
        assert_eq!(text.matches("# HELP").count(), 1, "{text}");
        assert!(text.contains("_bucket{source=\"a\",le=\"60\"} 0\n"), "{text}");
        assert!(text.contains("_bucket{source=\"a\",le=\"90\"} 1\n"), "the default of a wait");
        assert!(text.contains("_sum{source=\"a\"} 80\n"), "{text}");
        assert!(text.contains("_count{source=\"b\"} 0\n"), "{text}");
    }
}
