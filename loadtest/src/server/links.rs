//! Which links spoke for which agent, when, and whether of their own accord.
//!
//! A node that dials names itself in a header ([`NODE_HEADER`]); links without a name are left out, so
//! that measurements of a single gateway cost nothing here. What the record means is the oracle's
//! business ([`crate::oracle::speakers`]).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use parking_lot::Mutex;
use seawall::clock;
use seawall::ident::InstanceUid;
use serde::Serialize;

use crate::oracle::fields::ReportShape;
use crate::oracle::speakers::SpokenLink;

/// The header of a dial or a POST that names the node.
pub(crate) const NODE_HEADER: &str = "x-loadtest-node";
/// The longest name of a node.
const NAME_BYTES_MAX: usize = 64;
/// Nodes and links that are remembered; later ones go unrecorded.
const NODES_MAX: usize = 1_000;
const LINKS_MAX: usize = 100_000;
/// Links remembered for one agent. Beyond that the one that has been silent longest is forgotten.
const LINKS_OF_AGENT_MAX: usize = 16;
/// How many locks the agents are spread over.
const SHARDS: usize = 64;

/// What a message said, by who had a reason to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// Something of the agent's: changed fields, a custom message.
    Report,
    /// An empty message of an agent that has spoken on the link.
    Heartbeat,
    /// The first message of an agent on the link, and empty.
    Announce,
    /// The full state that the server had asked for.
    StateAsked,
    /// An empty POST: it fetches what the server has to say.
    Poll,
    /// `agent_disconnect`.
    Disconnect,
}

impl Word {
    const COUNT: usize = 6;

    /// Tells the word by its content. `asked` says that the server wanted the full state, and
    /// `new_here` that this is the agent's first word on the link.
    pub(crate) fn of(report: &ReportShape, asked: bool, new_here: bool, by_post: bool) -> Self {
        let is_empty =
            report.status_fields().iter().all(Option::is_none) && report.custom_message.is_none();
        if report.agent_disconnect.is_some() {
            Self::Disconnect
        } else if report.is_full_state() && asked {
            Self::StateAsked
        } else if !is_empty {
            Self::Report
        } else if by_post {
            Self::Poll
        } else if new_here {
            Self::Announce
        } else {
            Self::Heartbeat
        }
    }

    /// Whether the node itself decided to say it: the agent may be silent, or elsewhere.
    pub(crate) const fn is_of_own_accord(self) -> bool {
        matches!(self, Self::Announce | Self::StateAsked | Self::Poll | Self::Disconnect)
    }
}

/// A node's links, counted: with the first after none it begins another life.
#[derive(Debug, Default)]
struct NodeLife {
    open: AtomicU32,
    life: AtomicU32,
}

/// One connection of a named node. `GET /links` shows it.
#[derive(Debug)]
pub(crate) struct LinkRecord {
    number: u64,
    /// 0 for a node without a name: its words go unrecorded.
    node: u16,
    of_node: Arc<NodeLife>,
    life: u32,
    name: String,
    opened_us: u64,
    /// 0 while it is open.
    ended_us: AtomicU64,
    last_us: AtomicU64,
    words: [AtomicU64; Word::COUNT],
}

/// A connection's hold on its record. Dropping it marks the end.
#[derive(Debug)]
pub(crate) struct LinkHold(Arc<LinkRecord>);

impl Drop for LinkHold {
    fn drop(&mut self) {
        self.0.ended_us.store(now_us(), Ordering::Relaxed);
        self.0.of_node.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A link as `GET /links` shows it: a line of JSON.
#[derive(Debug, Serialize)]
struct LinkLine<'a> {
    link: u64,
    node: &'a str,
    node_number: u16,
    opened_us: u64,
    ended_us: Option<u64>,
    last_us: Option<u64>,
    words: u64,
    own_accord: u64,
    announces: u64,
    states_asked: u64,
    polls: u64,
    disconnects: u64,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct LinkLog {
    /// Nodes by their names; the number of a node is its place and one.
    nodes: Mutex<Vec<(String, Arc<NodeLife>)>>,
    links: Mutex<Vec<Arc<LinkRecord>>>,
    agents: [Mutex<HashMap<InstanceUid, Vec<SpokenLink>>>; SHARDS],
}

impl LinkLog {
    /// An empty record.
    pub(crate) fn new() -> Self {
        Self {
            nodes: Mutex::default(),
            links: Mutex::default(),
            agents: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// A connection begins, of the node with this name. A name that is too long counts as none.
    pub(crate) fn open(&self, number: u64, name: Option<&str>) -> LinkHold {
        let name = name.filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX);
        let (node, of_node) = name.map_or_else(Default::default, |name| self.node(name));
        if of_node.open.fetch_add(1, Ordering::Relaxed) == 0 {
            of_node.life.fetch_add(1, Ordering::Relaxed);
        }
        let link = Arc::new(LinkRecord {
            number,
            node,
            life: of_node.life.load(Ordering::Relaxed),
            of_node,
            name: name.unwrap_or_default().to_owned(),
            opened_us: now_us(),
            ended_us: AtomicU64::new(0),
            last_us: AtomicU64::new(0),
            words: std::array::from_fn(|_| AtomicU64::new(0)),
        });
        if link.node != 0 {
            let mut links = self.links.lock();
            if links.len() < LINKS_MAX {
                links.push(link.clone());
            }
        }
        LinkHold(link)
    }

    fn node(&self, name: &str) -> (u16, Arc<NodeLife>) {
        let mut nodes = self.nodes.lock();
        let place = nodes.iter().position(|(known, _)| known == name).unwrap_or(nodes.len());
        if place >= NODES_MAX {
            return Default::default();
        }
        if place == nodes.len() {
            nodes.push((name.to_owned(), Arc::default()));
        }
        (u16::try_from(place + 1).unwrap_or(0), nodes[place].1.clone())
    }

    /// A word for this agent has come.
    pub(crate) fn heard(&self, hold: &LinkHold, uid: InstanceUid, word: Word) {
        let link = &hold.0;
        if link.node == 0 {
            return;
        }
        link.words[word as usize].fetch_add(1, Ordering::Relaxed);
        let mut agents = self.shard(&uid).lock();
        let links = agents.entry(uid).or_default();
        // Under the lock, so that the times are in the order of the words.
        let now = now_us();
        link.last_us.store(now, Ordering::Relaxed);
        let own_accord = u64::from(word.is_of_own_accord());
        if let Some(known) = links.iter_mut().find(|known| known.link == link.number) {
            known.last_us = now;
            known.words += 1;
            known.own_accord += own_accord;
            return;
        }
        if links.len() >= LINKS_OF_AGENT_MAX
            && let Some((place, _)) = links.iter().enumerate().min_by_key(|(_, link)| link.last_us)
        {
            links.remove(place);
        }
        links.push(SpokenLink {
            link: link.number,
            node: link.node,
            life: link.life,
            opened_us: link.opened_us,
            first_us: now,
            last_us: now,
            words: 1,
            own_accord,
        });
    }

    /// The links that spoke for an agent, if they are of more than one node: one voice is as it
    /// should be, and the oracle has little to read.
    pub(crate) fn of_several_nodes(&self, uid: &InstanceUid) -> Vec<SpokenLink> {
        let agents = self.shard(uid).lock();
        let links = agents.get(uid).map_or(&[][..], Vec::as_slice);
        let several = links.windows(2).any(|pair| pair[0].node != pair[1].node);
        if several { links.to_vec() } else { Vec::new() }
    }

    /// The links that spoke for an agent, as JSON.
    pub(crate) fn of_agent(&self, uid: &InstanceUid) -> Vec<SpokenLink> {
        self.shard(uid).lock().get(uid).cloned().unwrap_or_default()
    }

    /// Every link of a named node, one JSON object a line.
    pub(crate) fn lines(&self) -> Vec<u8> {
        let links = self.links.lock().clone();
        let mut out = Vec::new();
        for link in &links {
            // Numbers and text into memory: this always succeeds.
            serde_json::to_writer(&mut out, &link.line()).expect("a line is plain data");
            out.push(b'\n');
        }
        out
    }

    /// The node that spoke last for each agent: its home, as far as the server can tell. A line is a uid
    /// and a name, with a blank between them.
    pub(crate) fn homes(&self) -> Vec<u8> {
        let nodes = self.nodes.lock().clone();
        let mut out = String::new();
        for agents in &self.agents {
            for (uid, links) in agents.lock().iter() {
                let last = links.iter().max_by_key(|link| link.last_us);
                let node = last.and_then(|link| nodes.get(usize::from(link.node) - 1));
                if let Some((name, _)) = node {
                    out.push_str(&format!("{uid} {name}\n"));
                }
            }
        }
        out.into_bytes()
    }

    fn shard(&self, uid: &InstanceUid) -> &Mutex<HashMap<InstanceUid, Vec<SpokenLink>>> {
        &self.agents[usize::from(uid.as_bytes()[14]) % SHARDS]
    }
}

impl LinkRecord {
    fn line(&self) -> LinkLine<'_> {
        let count = |word: Word| self.words[word as usize].load(Ordering::Relaxed);
        let time = |at: &AtomicU64| Some(at.load(Ordering::Relaxed)).filter(|at| *at > 0);
        let own = [Word::Announce, Word::StateAsked, Word::Poll, Word::Disconnect].map(count);
        let [announces, states_asked, polls, disconnects] = own;
        LinkLine {
            link: self.number,
            node: &self.name,
            node_number: self.node,
            opened_us: self.opened_us,
            ended_us: time(&self.ended_us),
            last_us: time(&self.last_us),
            words: self.words.iter().map(|words| words.load(Ordering::Relaxed)).sum(),
            own_accord: own.iter().sum(),
            announces,
            states_asked,
            polls,
            disconnects,
        }
    }
}

fn now_us() -> u64 {
    let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::speakers::spoken_twice;

    const UID: InstanceUid = InstanceUid::from_bytes([7; 16]);

    #[test]
    fn words_are_told_apart() {
        let empty = ReportShape::default();
        let full = ReportShape {
            agent_description: Some(Default::default()),
            effective_config: Some(Default::default()),
            ..empty.clone()
        };
        let goodbye = ReportShape { agent_disconnect: Some(Default::default()), ..empty.clone() };
        let health = ReportShape { health: Some(Default::default()), ..empty.clone() };
        assert_eq!(Word::of(&empty, true, true, false), Word::Announce);
        assert_eq!(Word::of(&empty, true, false, false), Word::Heartbeat);
        assert_eq!(Word::of(&empty, false, true, true), Word::Poll);
        assert_eq!(Word::of(&full, true, false, false), Word::StateAsked);
        assert_eq!(Word::of(&full, false, false, false), Word::Report);
        assert_eq!(Word::of(&health, true, true, true), Word::Report);
        assert_eq!(Word::of(&goodbye, false, false, false), Word::Disconnect);
    }

    #[test]
    fn links_of_nodes_are_recorded_and_judged() {
        let log = LinkLog::new();
        let [one, two] = [log.open(5, Some("a")), log.open(6, Some("b"))];
        log.heard(&one, UID, Word::Report);
        assert!(log.of_several_nodes(&UID).is_empty());
        pause();
        log.heard(&two, UID, Word::Announce);
        let links = log.of_several_nodes(&UID);
        assert_eq!((links.len(), spoken_twice(&links)), (2, None));
        assert_eq!(links.iter().map(|link| link.own_accord).collect::<Vec<_>>(), [0, 1]);
        pause();
        log.heard(&one, UID, Word::Disconnect);
        assert_eq!(spoken_twice(&log.of_several_nodes(&UID)), Some((1, 2)));
        assert_eq!(String::from_utf8(log.homes()).unwrap(), format!("{UID} a\n"));
        drop(two);
        let lines = String::from_utf8(log.lines()).unwrap();
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["node"], "a");
        assert_eq!((&lines[0]["words"], &lines[0]["disconnects"]), (&2.into(), &1.into()));
        assert!(lines[0]["ended_us"].is_null() && lines[1]["ended_us"].is_number());
    }

    #[test]
    fn an_agents_links_are_bounded_and_links_without_a_name_are_left_out() {
        let log = LinkLog::new();
        log.heard(&log.open(0, None), UID, Word::Report);
        assert!(log.of_agent(&UID).is_empty() && log.lines().is_empty());
        for number in 0..40 {
            log.heard(&log.open(number, Some("a")), UID, Word::Report);
        }
        assert_eq!(log.of_agent(&UID).len(), LINKS_OF_AGENT_MAX);
        assert!(log.of_agent(&UID).iter().any(|link| link.link == 39));
    }

    /// Until the clock shows another microsecond.
    fn pause() {
        let start = now_us();
        while now_us() <= start {
            std::hint::spin_loop();
        }
    }
}
