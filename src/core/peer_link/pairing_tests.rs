//! Two nodes that dial each other over a network that delays, loses the news of an end, and cuts: at
//! most one connection is in use, its streams are opened once, and calm leaves both with the same one.

use proptest::prelude::*;

use super::pairing::{Attempt, Dialler, Pairing, PairingEffect, PairingEvent};

/// What one node will hear of a connection, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Open(Dialler),
    Begun,
    Ended,
}

#[derive(Debug, Clone, Default)]
struct DialledWire {
    /// On its way to each node.
    news: [Vec<News>; 2],
    /// Closed, or noticed as lost, by each node.
    over: [bool; 2],
    /// Whether the decider has opened the streams.
    begun: bool,
}

/// Node 0 decides, node 1 follows.
struct TwoNodes {
    nodes: [Pairing; 2],
    wires: Vec<DialledWire>,
    /// Whether each node's dial is under way.
    dials: [bool; 2],
}

#[derive(Debug, Clone, Copy)]
enum Happens {
    Dial(usize),
    DialFails(usize),
    DialSucceeds(usize),
    /// The next piece of news of one of the wires reaches one of the nodes.
    Hear(usize, usize),
    /// One node notices that a connection is lost; the other one has yet to.
    Lost(usize, usize),
}

impl TwoNodes {
    fn new() -> Self {
        let nodes = [Pairing::new(true), Pairing::new(false)];
        Self { nodes, wires: Vec::new(), dials: [false; 2] }
    }

    fn happens(&mut self, what: Happens) {
        match what {
            Happens::Dial(node) if self.nodes[node].wants_dial() => {
                self.dials[node] = true;
                self.handle(node, PairingEvent::Dialling);
            }
            Happens::DialFails(node) if std::mem::take(&mut self.dials[node]) => {
                self.handle(node, PairingEvent::DialFailed);
            }
            Happens::DialSucceeds(node) if std::mem::take(&mut self.dials[node]) => {
                let mut wire = DialledWire::default();
                wire.news[node].push(News::Open(Dialler::Own));
                wire.news[1 - node].push(News::Open(Dialler::Peer));
                self.wires.push(wire);
                // The dialler knows at once.
                self.hear(node, self.wires.len() - 1);
            }
            Happens::Hear(node, wire) if !self.wires.is_empty() => {
                self.hear(node, wire % self.wires.len());
            }
            Happens::Lost(node, wire) if !self.wires.is_empty() => {
                let wire = wire % self.wires.len();
                let pending_open =
                    self.wires[wire].news[node].iter().any(|news| matches!(news, News::Open(_)));
                if !pending_open {
                    self.end(node, wire);
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, node: usize, wire: usize) {
        let DialledWire { news, over, .. } = &mut self.wires[wire];
        if news[node].is_empty() || over[node] {
            return;
        }
        let attempt = Attempt(wire as u64);
        match news[node].remove(0) {
            News::Open(dialler) => self.handle(node, PairingEvent::Open(attempt, dialler)),
            News::Begun => self.handle(node, PairingEvent::Begun(attempt)),
            News::Ended => self.end(node, wire),
        }
    }

    /// A connection ends for a node, which the other one hears later.
    fn end(&mut self, node: usize, wire: usize) {
        if std::mem::replace(&mut self.wires[wire].over[node], true) {
            return;
        }
        self.wires[wire].news[1 - node].push(News::Ended);
        self.handle(node, PairingEvent::Ended(Attempt(wire as u64)));
    }

    fn handle(&mut self, node: usize, event: PairingEvent) {
        for effect in self.nodes[node].handle(event) {
            match effect {
                PairingEffect::AbortDial => self.dials[node] = false,
                PairingEffect::Close(Attempt(number)) => self.end(node, index(number)),
                PairingEffect::Begin(Attempt(number)) => {
                    assert_eq!(node, 0, "the follower began");
                    let wire = &mut self.wires[index(number)];
                    assert!(!std::mem::replace(&mut wire.begun, true), "streams opened twice");
                    assert!(!wire.over[0], "the decider began a connection that is over");
                    wire.news[1].push(News::Begun);
                }
                PairingEffect::Use(Attempt(number)) => {
                    assert_eq!(node, 1, "the decider followed");
                    assert!(self.wires[index(number)].begun);
                }
            }
        }
    }

    /// Hears all news, dials where it is wanted, until nothing moves.
    fn calm(&mut self) {
        for _ in 0..20 {
            for node in 0..2 {
                self.happens(Happens::DialSucceeds(node));
                for wire in 0..self.wires.len() {
                    while !self.wires[wire].news[node].is_empty() && !self.wires[wire].over[node] {
                        self.hear(node, wire);
                    }
                }
                self.happens(Happens::Dial(node));
            }
        }
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        3 => (0..2_usize).prop_map(Happens::Dial),
        1 => (0..2_usize).prop_map(Happens::DialFails),
        3 => (0..2_usize).prop_map(Happens::DialSucceeds),
        8 => (0..2_usize, 0..40_usize).prop_map(|(node, wire)| Happens::Hear(node, wire)),
        1 => (0..2_usize, 0..40_usize).prop_map(|(node, wire)| Happens::Lost(node, wire)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn one_connection_is_used_and_calm_leaves_both_with_the_same(
        story in proptest::collection::vec(happens(), 0..120),
    ) {
        let mut pair = TwoNodes::new();
        for what in story {
            pair.happens(what);
            let open_and_begun =
                pair.wires.iter().filter(|wire| wire.begun && !wire.over[0]).count();
            prop_assert!(open_and_begun <= 1, "the decider uses {open_and_begun}");
        }
        pair.calm();
        let used = pair.nodes[0].in_use();
        prop_assert!(used.is_some(), "no connection in calm");
        prop_assert_eq!(used, pair.nodes[1].in_use());
        let open = pair.wires.iter().filter(|wire| wire.over != [true; 2]).count();
        prop_assert_eq!(open, 1, "surplus connections stay open");
    }
}

#[test]
fn two_dials_at_once_end_in_one_connection_without_a_frame_on_the_other() {
    let mut pair = TwoNodes::new();
    for what in [Happens::Dial(0), Happens::Dial(1)] {
        pair.happens(what);
    }
    // The follower's dial is through first, the decider's right after, before any news has crossed.
    for what in [Happens::DialSucceeds(1), Happens::DialSucceeds(0), Happens::Hear(0, 0)] {
        pair.happens(what);
    }
    assert_eq!(pair.nodes[0].in_use(), Some(Attempt(1)), "its own dial");
    assert_eq!(pair.nodes[1].in_use(), None, "waits for the decider");
    pair.calm();
    assert_eq!(pair.nodes.each_ref().map(Pairing::in_use), [Some(Attempt(1)); 2]);
    assert_eq!(pair.wires.iter().map(|wire| wire.begun).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_loss_that_only_the_follower_has_noticed_ends_in_its_new_connection() {
    let mut pair = TwoNodes::new();
    pair.happens(Happens::Dial(0));
    pair.happens(Happens::DialSucceeds(0));
    pair.calm();
    assert_eq!(pair.nodes.each_ref().map(Pairing::in_use), [Some(Attempt(0)); 2]);
    pair.end(1, 0);
    pair.happens(Happens::Dial(1));
    pair.happens(Happens::DialSucceeds(1));
    // The new connection overtakes the news that the old one is over.
    pair.hear(0, 1);
    assert_eq!(pair.nodes[0].in_use(), Some(Attempt(0)));
    pair.hear(0, 0);
    pair.calm();
    assert_eq!(pair.nodes.each_ref().map(Pairing::in_use), [Some(Attempt(1)); 2]);
}
