//! What an operator is shown of fleets that are whole, and of some that are not.

use super::*;

fn report(standing: &str, may_speak: bool) -> NodeReport {
    NodeReport {
        software: "0.1.0".to_owned(),
        phase: "member".to_owned(),
        may_speak,
        standing: standing.to_owned(),
        why: "its lease is valid".to_owned(),
        map_version: 17,
        linked: vec!["node-2".to_owned()],
        agents: AgentsHere { as_front: 12_000, as_home: 11_000, absent: 3 },
        shards: ShardsHere { held: 512, sending: 0, receiving: 0 },
        admission: Some(ShareView { rate: 500, need: 7, waiting: 0, fleet_rate: Some(1_000) }),
        store: StoreView {
            kind: "single".to_owned(),
            addresses: vec!["10.0.0.9:6379".to_owned()],
            connected: Some("10.0.0.9:6379".to_owned()),
            run: Some("ab".to_owned()),
            calls: 1_234,
            failures: 2,
            ..StoreView::default()
        },
        ..NodeReport::default()
    }
}

fn node(name: &str) -> NodeView {
    let lease = LeaseView {
        counter: 42,
        still_seconds: Some(1.25),
        read_version: 17,
        address: Some("10.0.0.1:4319".to_owned()),
        software: Some("0.1.0".to_owned()),
        ..LeaseView::default()
    };
    NodeView {
        name: name.to_owned(),
        incarnation: "00000000000000ab".to_owned(),
        is_asked: name == "node-1",
        lease: Some(lease),
        shards: 512,
        report: Some(report("leased", true)),
        silence: None,
    }
}

fn fleet(nodes: Vec<NodeView>) -> ClusterView {
    ClusterView {
        asked: "node-1".to_owned(),
        map_version: 17,
        shards: 1_024,
        nodes,
        ..ClusterView::default()
    }
}

fn attention(view: ClusterView) -> Vec<String> {
    view.with_attention().attention
}

#[test]
fn a_fleet_that_is_whole_needs_no_attention_and_fits_a_table() {
    let view = fleet(vec![node("node-1"), node("node-2")]).with_attention();
    assert_eq!(view.attention, [""; 0]);
    let text = super::table::render(&view);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "2 nodes as node-1 sees the fleet, map version 17; 1024 shards: 0 without a home, 0 on their way",
            "",
            "NODE     VERSION  SPEAKS  LEASE     ADDRESS        SHARDS  MOVING  FRONT   HOME    ABSENT  \
             WAITING  RATE          LINKS  MAP",
            "node-1*  0.1.0    leased  1.2s #42  10.0.0.1:4319  512     0       12,000  11,000  3       \
             0        500, needs 7  1/1    17",
        ]
    );
    assert!(
        text.contains("store of node-2: single at 10.0.0.9:6379, 1,234 calls, 2 failed, run ab\n")
    );
    assert!(text.ends_with("\nevery shard has a home, and every node may speak to servers\n"));
}

/// Breaks something of a fleet that is whole.
type Harm = fn(&mut ClusterView);

#[test]
fn each_fault_is_named_with_its_node() {
    let broken = |change: Harm| {
        let mut view = fleet(vec![node("node-1"), node("node-2")]);
        change(&mut view);
        attention(view).join("\n")
    };
    let cases: [(Harm, &str); 11] = [
        (
            |view| {
                view.homeless_shards = 3;
                view.nodes[0].report.as_mut().unwrap().phase = "gone".to_owned();
            },
            "node-1: it has left the fleet, and shows what it saw last: ask another node",
        ),
        (|view| view.nodes[1].shards = 511, "node-2: it has 511 of its share of 512 shards"),
        (|view| view.homeless_shards = 3, "3 of 1024 shards have no home"),
        (|view| view.moving_shards = 2, "2 of 1024 shards are on their way"),
        (|view| view.nodes[1].lease = None, "node-2: it is no member"),
        (
            |view| {
                view.nodes[1].report = None;
                view.nodes[1].silence = Some("no node link to it is up".to_owned());
            },
            "node-2: it could not be asked: no node link to it is up",
        ),
        (
            |view| view.nodes[0].report = Some(report("unconfirmed", false)),
            "node-1: it says nothing to servers: its lease is valid",
        ),
        (
            |view| view.nodes[0].report = Some(report("confirmed", true)),
            "node-1: it speaks without a lease that counts",
        ),
        (
            |view| {
                let lease = view.nodes[1].lease.as_mut().unwrap();
                (lease.is_leaving, lease.settings_differ) = (true, true);
            },
            "node-2: it leaves: it hands over its shards\nnode-2: its settings differ from those of node-1",
        ),
        (
            |view| {
                let report = view.nodes[1].report.as_mut().unwrap();
                report.unlinked.push("node-3".to_owned());
                report.unready.push("draining".to_owned());
            },
            "node-2: it is not ready: draining\nnode-2: it has no node link to node-3",
        ),
        (
            |view| {
                let report = view.nodes[1].report.as_mut().unwrap();
                report.store.failing = Some("silent".to_owned());
            },
            "node-2: its last call to the store failed: silent",
        ),
    ];
    for (change, expected) in cases {
        let found = broken(change);
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn what_is_not_known_is_shown_as_such() {
    let silence = Some("it is linked and does not answer within 1s".to_owned());
    let strange = NodeView { name: "node-9".to_owned(), silence, ..NodeView::default() };
    let text = super::table::render(&fleet(vec![strange]).with_attention());
    let row = text.lines().nth(3).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells, ["node-9", "-", "-", "-", "-", "0", "-", "-", "-", "-", "-", "-", "-", "-"]);
    assert!(text.contains("needs attention:\n  node-9: it is no member\n"), "{text}");
}

/// A node of an older or a newer version leaves fields out, or adds some.
#[test]
fn answers_of_other_versions_are_read() {
    let text = r#"{"asked": "node-1", "nodes": [{"name": "node-1", "colour": "red"}], "more": 1}"#;
    let view: ClusterView = serde_json::from_str(text).unwrap();
    assert_eq!((view.nodes[0].name.as_str(), view.shards), ("node-1", 0));
    let whole = fleet(vec![node("node-1")]).with_attention();
    let json = serde_json::to_string(&whole).unwrap();
    assert_eq!(serde_json::from_str::<ClusterView>(&json).unwrap(), whole);
}
