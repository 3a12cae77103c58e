//! Reads what benchmarks leave: the text that criterion prints, and the samples that it stores.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A benchmark with the middle of its interval, in nanoseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timing {
    pub(crate) name: String,
    pub(crate) nanoseconds: f64,
}

/// All benchmarks of a run, as `name   time:   [low middle high]`. A long name has a line for itself.
pub(crate) fn timings(text: &str) -> Vec<Timing> {
    let mut found = Vec::new();
    let mut name = "";
    for line in text.lines() {
        let (before, times) = line.split_once("time:").unwrap_or((line, ""));
        if !before.starts_with(' ') && !before.trim().is_empty() {
            name = before.trim();
        }
        let times = times.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(nanoseconds) = times.and_then(middle) {
            found.push(Timing { name: name.to_owned(), nanoseconds });
        }
    }
    found
}

/// The first benchmark whose name contains this, in microseconds.
pub(crate) fn microseconds(text: &str, name: &str) -> Option<f64> {
    let timing = timings(text).into_iter().find(|timing| timing.name.contains(name))?;
    Some(timing.nanoseconds / 1_000.0)
}

/// The second of three times with their units.
fn middle(times: &str) -> Option<f64> {
    let mut parts = times.split_whitespace().skip(2);
    let value: f64 = parts.next()?.parse().ok()?;
    let unit = match parts.next()? {
        "ps" => 1e-3,
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    Some(value * unit)
}

/// The quickest sample of each benchmark, in nanoseconds for one iteration, by the benchmark's name.
///
/// Other work on the machine makes a sample slower, so the quickest sample is what the code takes. Criterion stores samples as `GROUP/BENCHMARK/new/{benchmark,sample}.json`.
///
/// # Errors
/// When a file cannot be read, or holds something else.
pub(crate) fn quickest(home: &Path) -> io::Result<Vec<(String, f64)>> {
    let mut found = Vec::new();
    for group in entries(home)? {
        for benchmark in entries(&group)? {
            let folder = benchmark.join("new");
            if folder.join("sample.json").exists() {
                let name = read(&folder.join("benchmark.json"))?;
                let name = name.pointer("/full_id").and_then(Value::as_str).map(str::to_owned);
                let quickest = quickest_sample(&read(&folder.join("sample.json"))?);
                let fault = || io::Error::other(format!("no samples in {}", folder.display()));
                found.push(name.zip(quickest).ok_or_else(fault)?);
            }
        }
    }
    Ok(found)
}

fn quickest_sample(sample: &Value) -> Option<f64> {
    let list = |name| -> Option<Vec<f64>> {
        sample.get(name)?.as_array()?.iter().map(Value::as_f64).collect()
    };
    let each = list("times")?.into_iter().zip(list("iters")?).map(|(time, count)| time / count);
    each.min_by(f64::total_cmp)
}

fn read(path: &Path) -> io::Result<Value> {
    Ok(serde_json::from_str(&fs::read_to_string(path)?)?)
}

/// What is in a folder, in order; empty for a file, which criterion has beside its folders.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Benchmarking scan 9000 bytes/scan
Benchmarking scan 9000 bytes/scan: Warming up for 50.000 ms
scan 9000 bytes/scan    time:   [45.100 ns 46.200 ns 47.000 ns]
                        thrpt:  [178.00 GiB/s 181.00 GiB/s 185.00 GiB/s]
Found 1 outliers among 10 measurements (10.00%)
scan 9000 bytes/yardstick: prost decode
                        time:   [5.1000 µs 5.4000 µs 5.9000 µs]
                        change: [-1.0% +0.5% +2.0%] (p = 0.40 > 0.05)
";

    #[test]
    fn names_and_times_are_read_from_one_line_or_two() {
        let found = timings(TEXT);
        let names: Vec<&str> = found.iter().map(|timing| timing.name.as_str()).collect();
        assert_eq!(names, ["scan 9000 bytes/scan", "scan 9000 bytes/yardstick: prost decode"]);
        assert!((found[0].nanoseconds - 46.2).abs() < 1e-9, "{found:?}");
        assert!((found[1].nanoseconds - 5_400.0).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn a_benchmark_is_found_by_part_of_its_name() {
        assert_eq!(microseconds(TEXT, "prost decode"), Some(5.4));
        assert_eq!(microseconds(TEXT, "canonical"), None);
    }

    #[test]
    fn the_quickest_sample_counts() {
        let sample =
            serde_json::json!({ "iters": [10.0, 20.0, 30.0], "times": [50.0, 60.0, 300.0] });
        assert_eq!(quickest_sample(&sample), Some(3.0));
        assert_eq!(quickest_sample(&serde_json::json!({ "iters": [], "times": [] })), None);
        assert_eq!(quickest_sample(&serde_json::json!({})), None);
    }

    #[test]
    fn samples_are_found_by_the_names_of_their_benchmarks() {
        let home = std::env::temp_dir().join(format!("proof-samples-{}", std::process::id()));
        let folder = home.join("scan 9000 bytes/scan/new");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(home.join("report")).unwrap();
        let name = serde_json::json!({ "full_id": "scan 9000 bytes/scan" });
        fs::write(folder.join("benchmark.json"), name.to_string()).unwrap();
        let sample = serde_json::json!({ "iters": [2.0], "times": [9.0] });
        fs::write(folder.join("sample.json"), sample.to_string()).unwrap();
        assert_eq!(quickest(&home).unwrap(), [("scan 9000 bytes/scan".to_owned(), 4.5)]);
        fs::remove_dir_all(&home).unwrap();
        assert_eq!(quickest(&home).unwrap(), []);
    }
}
