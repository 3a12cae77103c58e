//! The table of metrics, the exposition, and docs/METRICS.md, which the table writes.

mod emitted;

use std::collections::HashSet;
use std::fmt::Write as _;

use super::description::Description;
use super::documented::MetricKind;
use super::labels::edge::Transport;
use super::labels::upstream::DialResult;
use super::names::Metric;
use super::registry::metrics;
use super::*;
use crate::core::admission::Outcome;

/// The value of one series now, named as in the exposition (`name` or `name{label="value"}`).
fn value(series: &str) -> Option<f64> {
    let text = render();
    let line = text
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The tables of docs/METRICS.md: every metric with its kind, labels and meaning.
fn reference() -> String {
    let mut output = String::from("| name | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in Metric::ALL {
        let mut labels: Vec<String> = Vec::new();
        for (key, values) in metric.labels() {
            labels.push(match values.as_slice() {
                [] => format!("`{key}`"),
                values => format!("`{key}`: {}", values.join(", ")),
            });
        }
        let (Description { name, help }, kind) = (metric.description(), metric.kind());
        let _ = writeln!(output, "| `{name}` | {kind} | {} | {help} |", labels.join("; "));
    }
    output
}

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
        assert!(
            text.contains(metric.description().name),
            "{} is not exposed",
            metric.description().name
        );
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
fn docs_explain_every_outcome_of_admission() {
    let text = include_str!("../../docs/METRICS.md");
    for outcome in Outcome::ALL.map(Outcome::label) {
        assert!(text.contains(&format!("\n| `{outcome}` | ")), "docs/METRICS.md lacks {outcome}");
    }
}

#[test]
fn documents_for_operators_name_metrics_that_exist() {
    for text in [include_str!("../../README.md"), include_str!("../../docs/CLUSTER.md")] {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("seawall_")) {
            assert!(Metric::ALL.iter().any(|metric| metric.description().name == word), "{word}");
        }
    }
}

#[test]
fn names_are_unique_and_well_formed() {
    let mut seen = HashSet::new();
    for metric in Metric::ALL {
        let name = metric.description().name;
        assert!(seen.insert(name), "{name} is there twice");
        assert!(name.starts_with("seawall_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind() == MetricKind::Counter, "{name}");
        let help = metric.description().help;
        assert!(help.ends_with('.'), "{name}: {help}");
    }
}

#[test]
fn label_values_are_unique_and_no_label_is_a_uid() {
    for metric in Metric::ALL {
        for (key, values) in metric.labels() {
            assert!(!key.contains("uid"));
            assert_eq!(values.iter().collect::<HashSet<_>>().len(), values.len());
        }
    }
}
