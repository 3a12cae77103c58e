//! A latency as Prometheus counts it: observations in buckets of fixed bounds.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::description::Description;

/// Upper bounds of a latency's buckets, in microseconds; one more bucket takes all above.
const BOUNDS_MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// A latency histogram of fixed buckets: sixteen atomics. The exporter's own histogram stores every
/// sample until the next scrape, so its memory would grow until Prometheus comes.
#[derive(Clone, Default)]
pub(super) struct Histogram(Arc<Buckets>);

#[derive(Default)]
struct Buckets {
    counts: [AtomicU64; BOUNDS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts one observation.
    pub(super) fn record(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        self.0.counts[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Writes the series in Prometheus' text format.
    #[allow(clippy::cast_precision_loss)] // Beyond 2^53 microseconds a rounded sum will do.
    pub(super) fn render(&self, metric: Description, output: &mut String) {
        let Description { name, help } = metric;
        // Writing to a String always succeeds.
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
        histogram.render(Description { name: "seconds", help: "Of this test." }, &mut text);
        assert!(text.contains("_bucket{le=\"0.0001\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"0.0025\"} 1\n"), "{text}");
        assert!(text.contains("_bucket{le=\"0.005\"} 2\n"), "{text}");
        assert!(text.contains("_bucket{le=\"10\"} 2\n"), "{text}");
        assert!(text.contains("_bucket{le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.contains("_sum 60.0031\n"), "{text}");
    }
}
