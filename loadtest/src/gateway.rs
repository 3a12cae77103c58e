//! What the gateway says of itself: memory, its store's part of it, and processor time, from its `/metrics`.

use crate::http1;

/// Sums over all gateways asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Resident memory.
    pub(crate) rss_bytes: f64,
    /// Processor time since the process started.
    pub(crate) cpu_seconds: f64,
    /// Memory of the content store; `None` if a gateway does not tell.
    pub(crate) store_bytes: Option<f64>,
}

/// Asks all gateways; `None` unless every one of them answers with its memory and processor time.
pub(crate) async fn sample(urls: &[String]) -> Option<Sample> {
    let mut sum = Sample { rss_bytes: 0.0, cpu_seconds: 0.0, store_bytes: Some(0.0) };
    for url in urls {
        let text = String::from_utf8(http1::fetch(url, None).await.ok()?).ok()?;
        sum.rss_bytes += value(&text, "process_resident_memory_bytes")?;
        sum.cpu_seconds += value(&text, "process_cpu_seconds_total")?;
        let store = value(&text, "seawall_store_memory_bytes");
        sum.store_bytes = sum.store_bytes.zip(store).map(|(sum, store)| sum + store);
    }
    (!urls.is_empty()).then_some(sum)
}

/// The value of a metric without labels in Prometheus' text format.
fn value(text: &str, name: &str) -> Option<f64> {
    text.lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .find_map(|rest| rest.split(' ').next()?.parse().ok())
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
}
