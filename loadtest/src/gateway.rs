//! What the gateway says of itself: memory, its store's part of it, and processor time, from its `/metrics`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::http;

/// Sums over all gateways asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GatewaySample {
    /// Resident memory.
    pub(crate) rss_bytes: f64,
    /// Processor time since the process started.
    pub(crate) cpu_seconds: f64,
    /// Memory of the content store; `None` unless every gateway tells it.
    pub(crate) store_bytes: Option<f64>,
}

/// Asks all gateways; `None` unless every one of them answers with its memory and processor time.
pub(crate) async fn sample(urls: &[String]) -> Option<GatewaySample> {
    let mut sum = GatewaySample { rss_bytes: 0.0, cpu_seconds: 0.0, store_bytes: Some(0.0) };
    for url in urls {
        let text = String::from_utf8(http::fetch(url, None).await.ok()?).ok()?;
        sum.rss_bytes += value(&text, "process_resident_memory_bytes")?;
        sum.cpu_seconds += value(&text, "process_cpu_seconds_total")?;
        let store = value(&text, "seawall_store_memory_bytes");
        sum.store_bytes = sum.store_bytes.zip(store).map(|(sum, store)| sum + store);
    }
    (!urls.is_empty()).then_some(sum)
}

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Looks at the gateways' memory again and again until this goes.
pub(crate) struct Watch {
    /// As it began.
    pub(crate) start: Option<GatewaySample>,
    urls: Vec<String>,
    /// The most bytes seen.
    peak: Arc<AtomicU64>,
    task: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins, if there is a gateway.
    pub(crate) async fn begin(urls: &[String]) -> Self {
        let start = sample(urls).await;
        let peak = Arc::new(AtomicU64::new(0));
        let task = start.map(|_| {
            let (urls, peak) = (urls.to_vec(), peak.clone());
            tokio::spawn(async move {
                loop {
                    note(&peak, sample(&urls).await);
                    tokio::time::sleep(LOOK).await;
                }
            })
        });
        Self { start, urls: urls.to_vec(), peak, task }
    }

    /// How things are now.
    pub(crate) async fn sample(&self) -> Option<GatewaySample> {
        let sample = sample(&self.urls).await;
        note(&self.peak, sample);
        sample
    }

    /// The most memory at any look since the beginning.
    pub(crate) fn rss_bytes_peak(&self) -> Option<f64> {
        self.start.map(|start| start.rss_bytes.max(self.peak.load(Ordering::Relaxed) as f64))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn note(peak: &AtomicU64, sample: Option<GatewaySample>) {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes of memory")]
    let bytes = sample.map_or(0, |sample| sample.rss_bytes as u64);
    peak.fetch_max(bytes, Ordering::Relaxed);
}

/// The value of a metric in Prometheus' text format; labels, if it has any, are part of the name.
pub(crate) fn value(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .find_map(|rest| rest.split(' ').next()?.parse().ok())
}

/// The sum of a metric over all its labels; `None` if no line has that name.
pub(crate) fn sum(text: &str, name: &str) -> Option<f64> {
    sum_of(text, name, "")
}

/// The same of the lines with this label, such as `call="renew"`.
pub(crate) fn sum_of(text: &str, name: &str, label: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(labelled) => labelled.split_once('}')?,
            None => ("", rest),
        };
        let is_wanted = label.is_empty() || labels.split(',').any(|one| one == label);
        rest.strip_prefix(' ').filter(|_| is_wanted)?.split(' ').next()?.parse::<f64>().ok()
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_whole_name() {
        let text = "# TYPE a counter\na_total 5\na 1.5e3\nb{x=\"y\"} 7\n";
        assert_eq!(value(text, "a"), Some(1500.0));
        assert_eq!(value(text, "a_total"), Some(5.0));
        assert_eq!(value(text, "b"), None);
        assert_eq!(value(text, "c"), None);
    }

    #[test]
    fn labels_are_summed_up() {
        let text = "# TYPE a counter\na{x=\"1\"} 2\na{x=\"2\"} 3.5\nab 7\nab_total{x=\"1\"} 9\n";
        assert_eq!(sum_of("a{x=\"y\",z=\"1\"} 7\na{x=\"n\"} 2", "a", "x=\"y\""), Some(7.0));
        assert_eq!((sum(text, "a"), sum(text, "ab"), sum(text, "c")), (Some(5.5), Some(7.0), None));
    }
}
