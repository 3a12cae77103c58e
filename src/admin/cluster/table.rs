//! The fleet as a table on a terminal. Pure: from an answer to text.

use std::fmt::Write as _;

use super::view::{ClusterView, NodeReport, NodeView};
use crate::telemetry::thousands;

const HEAD: [&str; 14] = [
    "NODE", "VERSION", "SPEAKS", "LEASE", "ADDRESS", "SHARDS", "MOVING", "FRONT", "HOME", "ABSENT",
    "WAITING", "RATE", "LINKS", "MAP",
];
/// What is not known.
const UNKNOWN: &str = "-";

/// All of it: the nodes, their stores, and what needs attention.
pub(super) fn render(view: &ClusterView) -> String {
    let ClusterView { asked, map_version, shards, homeless_shards, moving_shards, .. } = view;
    let nodes = match view.nodes.len() {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    };
    let mut text = format!(
        "{nodes} as {asked} sees the fleet, map version {map_version}; {shards} shards: \
         {homeless_shards} without a home, {moving_shards} on their way\n\n"
    );
    let rows: Vec<[String; 14]> = view.nodes.iter().map(row).collect();
    columns(&rows, &mut text);
    text.push_str(
        "\nFRONT: agents whose connections end there; HOME: agents whose sessions are there\n",
    );
    for node in &view.nodes {
        if let Some(report) = &node.report {
            let _ = writeln!(text, "store of {}: {}", node.name, store(report));
        }
    }
    if view.attention.is_empty() {
        text.push_str("\nevery shard has a home, and every node may speak to servers\n");
    } else {
        text.push_str("\nneeds attention:\n");
        for what in &view.attention {
            let _ = writeln!(text, "  {what}");
        }
    }
    text
}

fn row(node: &NodeView) -> [String; 14] {
    let known = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let number = |count: Option<u64>| known(count.map(|count| thousands(count.into())));
    let (lease, report) = (node.lease.as_ref(), node.report.as_ref());
    let name = if node.is_asked { format!("{}*", node.name) } else { node.name.clone() };
    let software = report.map(|report| report.software.clone());
    let moving = |report: &NodeReport| match (report.shards.sending, report.shards.receiving) {
        (0, 0) => "0".to_owned(),
        (out, into) => format!("{out} out {into} in"),
    };
    let lease_shown = lease.map(|lease| {
        let still = lease.still_seconds.map(|still| format!("{still:.1}s"));
        format!("{} #{}", known(still), lease.counter)
    });
    let rate = report.and_then(|report| report.admission);
    let links = |report: &NodeReport| {
        let all = report.linked.len() + report.unlinked.len();
        format!("{}/{all}", report.linked.len())
    };
    let figures = lease.map(|lease| lease.figures);
    [
        name,
        known(software.or_else(|| lease.and_then(|lease| lease.software.clone()))),
        known(report.map(|report| report.standing.clone())),
        known(lease_shown),
        known(lease.and_then(|lease| lease.address.clone())),
        thousands(node.shards.into()),
        known(report.map(moving)),
        number(report.map_or(figures.map(|it| it.connected.into()), |it| Some(it.agents.as_front))),
        number(report.map(|report| report.agents.as_home)),
        number(report.map_or(figures.map(|it| it.absent.into()), |it| Some(it.agents.absent))),
        number(rate.map_or(figures.map(|it| it.waiting.into()), |rate| Some(rate.waiting))),
        known(rate.map(|rate| format!("{}, needs {}", rate.rate, rate.need))),
        known(report.map(links)),
        number(report.map(|report| report.map_version)),
    ]
}

fn store(report: &NodeReport) -> String {
    let store = &report.store;
    if store.kind == "memory" {
        return "memory: the node has no others".to_owned();
    }
    let mut text = format!("{} at {}", store.kind, store.addresses.join(", "));
    match &store.connected {
        Some(connected) if store.addresses.len() == 1 && store.addresses.contains(connected) => {}
        Some(connected) => text += &format!(", connected to {connected}"),
        None => text += ", not connected",
    }
    if store.is_away {
        text += ", its word does not count for now: it may have gone back";
    }
    let (calls, failures) = (thousands(store.calls.into()), thousands(store.failures.into()));
    text += &format!(", {calls} calls, {failures} failed");
    if let Some(run) = &store.run {
        text += &format!(", run {run}");
    }
    text
}

/// Rows below the head, each column as wide as its widest cell.
fn columns(rows: &[[String; 14]], text: &mut String) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEAD[column].len()]).max().unwrap_or(0)
    };
    let widths: [usize; 14] = std::array::from_fn(width);
    let mut line = |cells: [&str; 14]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let padded: Vec<String> = padded.collect();
        let _ = writeln!(text, "{}", padded.join("  ").trim_end());
    };
    line(HEAD);
    for row in rows {
        line(std::array::from_fn(|column| row[column].as_str()));
    }
}
