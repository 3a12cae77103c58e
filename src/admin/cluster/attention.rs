//! What an operator should look at, in sentences that name the node and the fault. An empty list means that the
//! fleet is whole: a script that restarts nodes one after the other may go on.

use super::view::{ClusterView, LeaseView, NodeReport, NodeView};

impl ClusterView {
    /// The same, with what an operator should look at.
    #[must_use]
    pub(crate) fn with_attention(self) -> Self {
        Self { attention: attention(&self), ..self }
    }
}

/// Everything, the fleet's first.
fn attention(view: &ClusterView) -> Vec<String> {
    if let Some(gone) = has_left(view) {
        return vec![gone];
    }
    let mut found = Vec::new();
    let all = view.shards;
    match view.homeless_shards {
        0 => {}
        count => found.push(format!(
            "{count} of {all} shards have no home: their agents are served, and their servers hear nothing of them"
        )),
    }
    match view.moving_shards {
        0 => {}
        count => found.push(format!("{count} of {all} shards are on their way between nodes")),
    }
    let share = share(view);
    for node in &view.nodes {
        found.extend(lacks(node, share).map(|what| format!("{}: {what}", node.name)));
        found.extend(of_node(node, view).into_iter().map(|what| format!("{}: {what}", node.name)));
    }
    found
}

/// A node that has left shows the fleet as it last saw it, and nothing of that counts.
fn has_left(view: &ClusterView) -> Option<String> {
    let own = view.nodes.iter().find(|node| node.name == view.asked);
    let report = own.and_then(|node| node.report.as_ref());
    let what = "it has left the fleet, and shows what it saw last: ask another node";
    report.filter(|report| report.phase == GONE).map(|_| format!("{}: {what}", view.asked))
}

/// The shards that each node has in the end, at least; 0 while one comes or goes, which is said anyway.
fn share(view: &ClusterView) -> u64 {
    let stays = |node: &NodeView| node.lease.as_ref().is_some_and(|lease| !lease.is_leaving);
    if !view.nodes.iter().all(stays) {
        return 0;
    }
    let nodes = u64::try_from(view.nodes.len()).unwrap_or(u64::MAX);
    view.shards.checked_div(nodes).unwrap_or_default()
}

/// A node that has joined asks for its share, a few shards at a time.
fn lacks(node: &NodeView, share: u64) -> Option<String> {
    let shards = node.shards;
    let what = || {
        format!("it has {shards} of its share of {share} shards: the rest has yet to move to it")
    };
    (shards < share).then(what)
}

fn of_node(node: &NodeView, view: &ClusterView) -> Vec<String> {
    let mut found = Vec::new();
    match &node.lease {
        Some(lease) => found.extend(of_lease(lease, &view.asked)),
        None => found.push("it is no member".to_owned()),
    }
    match (&node.report, &node.silence) {
        (Some(report), _) => found.extend(of_report(report)),
        (None, Some(why)) => found.push(format!("it could not be asked: {why}")),
        (None, None) => {}
    }
    found
}

fn of_lease(lease: &LeaseView, asked: &str) -> Vec<String> {
    let mut found = Vec::new();
    if lease.is_leaving {
        found.push("it leaves: it hands over its shards".to_owned());
    }
    if lease.settings_differ {
        found.push(format!(
            "its settings differ from those of {asked} where all nodes must agree, in at least one of: servers, \
             sessions.volatile, sessions.grace_period, admission.rate, ownership.lease, ownership.autonomy"
        ));
    }
    found
}

fn of_report(report: &NodeReport) -> Vec<String> {
    let mut found = Vec::new();
    if !report.may_speak {
        found.push(format!("it says nothing to servers: {}", report.why));
    } else if report.standing != LEASED {
        found.push(format!("it speaks without a lease that counts: {}", report.why));
    }
    found.extend(report.unready.iter().map(|why| format!("it is not ready: {why}")));
    if !report.unlinked.is_empty() {
        found.push(format!("it has no node link to {}", report.unlinked.join(", ")));
    }
    if let Some(failing) = &report.store.failing {
        found.push(format!("its last call to the store failed: {failing}"));
    }
    found
}

/// The phase of a node that was a member and is none any more.
const GONE: &str = "gone";

/// The label of a node whose lease counts.
const LEASED: &str = "leased";
