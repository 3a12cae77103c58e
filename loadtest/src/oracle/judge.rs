//! The comparison of what is true with what the server believes.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::digest::{ABSENT, StateView};
use super::fields::StatusField;
use super::speakers::{SpokenLink, spoken_twice};

/// What one side says about one agent: a line of the server's `/agents`, or of a worker's truth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentLine {
    /// The instance uid as text.
    pub(crate) uid: String,
    /// The state.
    pub(crate) view: StateView,
    /// The server: `agent_disconnect` was the last thing heard. The truth: the agent is stopped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) disconnected: bool,
    /// The server: there is a connection on which this agent can be reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) routed: bool,
    /// The server: the links that spoke for this agent, if they are of several nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<SpokenLink>,
}

/// The outcome. `missing` and `wrong` must be 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct OracleVerdict {
    /// Agents unknown to the server, or connected ones that it believes disconnected.
    pub(crate) missing: u64,
    /// Agents of which the server believes something untrue.
    pub(crate) wrong: u64,
    /// Agents that the server knows and is unable to reach.
    pub(crate) unrouted: u64,
    /// Agents that only the server knows: of earlier runs, or under uids given up.
    pub(crate) extra: u64,
    /// Agents for which two nodes spoke at the same time (see [`super::speakers`]). Time heals the
    /// other faults; this one stays.
    pub(crate) spoken_twice: u64,
    /// A few of the faults in words.
    pub(crate) examples: Vec<String>,
}

/// How many faults are described.
const EXAMPLES_MAX: usize = 5;

impl OracleVerdict {
    /// Whether the server believes the truth.
    pub(crate) fn holds(&self) -> bool {
        self.missing == 0 && self.wrong == 0
    }

    /// What is wrong, as a fault.
    pub(crate) fn in_words(&self) -> String {
        format!("the server is missing {} agents and wrong about {}", self.missing, self.wrong)
    }

    fn describe(&mut self, uid: &str, fault: impl fmt::Display) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("agent {uid}: {fault}"));
        }
    }
}

/// Compares. `truth` decides which agents there are.
pub(crate) fn judge(truth: &[AgentLine], believed: &[AgentLine]) -> OracleVerdict {
    let by_uid: HashMap<&str, &AgentLine> =
        believed.iter().map(|line| (line.uid.as_str(), line)).collect();
    let mut verdict = OracleVerdict::default();
    let mut known = 0;
    for line in truth {
        let Some(server) = by_uid.get(line.uid.as_str()) else {
            // A server may forget who has gone.
            if line.disconnected {
                continue;
            }
            verdict.missing += 1;
            verdict.describe(&line.uid, "the server does not know it");
            continue;
        };
        known += 1;
        if server.disconnected && !line.disconnected {
            verdict.missing += 1;
            verdict.describe(&line.uid, "the server believes it disconnected");
            continue;
        }
        verdict.unrouted += u64::from(!server.routed && !line.disconnected);
        let differing = differences(&line.view, &server.view);
        if !differing.is_empty() {
            verdict.wrong += 1;
            verdict.describe(&line.uid, format_args!("the server is wrong about {differing:?}"));
        }
    }
    for line in believed {
        if let Some((again, meanwhile)) = spoken_twice(&line.links) {
            verdict.spoken_twice += 1;
            let fault = format!("node {again} spoke for it again after node {meanwhile} had");
            verdict.describe(&line.uid, fault);
        }
    }
    verdict.extra = (by_uid.len() as u64).saturating_sub(known);
    verdict
}

/// The names of what differs.
fn differences(truth: &StateView, believed: &StateView) -> Vec<&'static str> {
    let mut names: Vec<_> = StatusField::ALL
        .iter()
        .filter(|field| truth.fields[field.index()] != believed.fields[field.index()])
        .map(|field| field.name())
        .collect();
    if truth.capabilities != believed.capabilities {
        names.push("capabilities");
    }
    // A server that has yet to ask for the map may lack it; one that has it must have it right.
    if believed.components != ABSENT && believed.components != truth.components {
        names.push("components");
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(uid: &str, view: StateView) -> AgentLine {
        let uid = uid.to_owned();
        AgentLine { uid, view, disconnected: false, routed: true, links: Vec::new() }
    }

    fn view() -> StateView {
        StateView { fields: [1, 2, 3, 4, 5, 6, 7, 8], components: 9, capabilities: 10 }
    }

    #[test]
    fn the_truth_is_accepted() {
        let without_map = StateView { components: ABSENT, ..view() };
        let truth = [line("a", view()), line("b", view())];
        let verdict = judge(&truth, &[line("b", without_map), line("a", view())]);
        assert_eq!(verdict, OracleVerdict::default());
        assert!(verdict.holds());
    }

    #[test]
    fn the_server_may_know_or_forget_an_agent_that_has_gone() {
        let gone = || AgentLine { disconnected: true, routed: false, ..line("a", view()) };
        for believed in [vec![], vec![gone()], vec![line("a", view())]] {
            assert_eq!(judge(&[gone()], &believed), OracleVerdict::default());
        }
        let other = AgentLine { view: StateView { components: 1, ..view() }, ..gone() };
        assert_eq!(judge(&[gone()], &[other]).wrong, 1);
    }

    #[test]
    fn an_agent_that_two_nodes_spoke_for_is_counted_once() {
        let link = |node: u16, first_us, last_us| SpokenLink {
            life: 1,
            link: node.into(),
            node,
            opened_us: 0,
            first_us,
            last_us,
            words: 2,
            own_accord: 0,
        };
        let twice = AgentLine { links: vec![link(1, 1, 9), link(2, 5, 6)], ..line("a", view()) };
        let once = AgentLine { links: vec![link(1, 1, 4), link(2, 5, 6)], ..line("b", view()) };
        let verdict = judge(&[line("a", view()), line("b", view())], &[twice, once]);
        assert_eq!((verdict.spoken_twice, verdict.examples.len()), (1, 1));
        assert!(verdict.holds(), "what the server believes is true all the same");
    }

    #[test]
    fn each_fault_is_found() {
        let truth = [line("a", view())];
        assert_eq!(judge(&truth, &[]).missing, 1);
        assert_eq!(judge(&truth, &[line("b", view())]).extra, 1);
        let gone = AgentLine { disconnected: true, ..line("a", view()) };
        assert_eq!(judge(&truth, &[gone]).missing, 1);
        let unrouted = AgentLine { routed: false, ..line("a", view()) };
        assert_eq!(judge(&truth, &[unrouted]).unrouted, 1);
        for index in 0..StatusField::COUNT {
            let mut other = view();
            other.fields[index] = ABSENT;
            assert_eq!(judge(&truth, &[line("a", other)]).wrong, 1, "field {index}");
        }
        for other in
            [StateView { components: 1, ..view() }, StateView { capabilities: 1, ..view() }]
        {
            let verdict = judge(&truth, &[line("a", other)]);
            assert!(verdict.wrong == 1 && !verdict.holds() && verdict.examples.len() == 1);
        }
    }
}
