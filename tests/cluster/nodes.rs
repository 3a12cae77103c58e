//! Nodes with node links, and what each of them has seen.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use seawall::cluster::{
    FrameBounds, LinkEnd, LinkLoss, Member, NodeIdentity, NodeLink, NodeLinkEvents, NodeLinks,
    NodeLinksParams,
};
use seawall::core::ownership::{NodeIncarnation, NodeName};
use seawall::ident::InstanceUid;
use tokio::sync::watch;

/// Longer than anything takes, also on a machine with other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that a node was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Reached,
    Frame(Vec<u8>),
    Control(Vec<u8>),
    Lost(LinkLoss),
}

/// What a node was told about each peer, in order.
#[derive(Default)]
pub(crate) struct Story {
    told: Mutex<HashMap<NodeIncarnation, Vec<Told>>>,
    links: Mutex<HashMap<NodeIncarnation, NodeLink>>,
    grown: watch::Sender<u64>,
    /// While this is true the node hangs: each frame that arrives blocks its thread.
    hangs: Mutex<bool>,
    goes_on: Condvar,
}

impl Story {
    fn tell(&self, peer: NodeIncarnation, told: Told) {
        self.told.lock().entry(peer).or_default().push(told);
        self.grown.send_modify(|count| *count += 1);
    }
}

impl NodeLinkEvents for Story {
    fn reached(&self, link: &NodeLink) {
        self.links.lock().insert(link.peer(), link.clone());
        self.tell(link.peer(), Told::Reached);
    }

    fn frame(&self, link: &NodeLink, frame: &[u8]) {
        self.goes_on.wait_while(&mut self.hangs.lock(), |hangs| *hangs);
        self.tell(link.peer(), Told::Frame(frame.to_vec()));
    }

    fn control(&self, link: &NodeLink, message: &[u8]) {
        self.tell(link.peer(), Told::Control(message.to_vec()));
    }

    fn lost(&self, link: &NodeLink, loss: &LinkLoss) {
        self.tell(link.peer(), Told::Lost(loss.clone()));
    }
}

/// A node.
pub(crate) struct Node {
    pub(crate) member: Member,
    pub(crate) links: NodeLinks,
    pub(crate) story: Arc<Story>,
    members: watch::Sender<Arc<[Member]>>,
}

impl Node {
    /// Listens on a free port and knows no other node.
    pub(crate) fn start(number: u64) -> Self {
        Self::start_at(number, "127.0.0.1:0", FrameBounds::DEFAULT)
    }

    pub(crate) fn start_at(number: u64, listen: &str, bounds: FrameBounds) -> Self {
        let identity = NodeIdentity::generate().unwrap();
        let (members, receiver) = watch::channel(Arc::from([]));
        let (story, incarnation) = (Arc::<Story>::default(), incarnation(number));
        let fingerprint = identity.fingerprint();
        let params = NodeLinksParams {
            incarnation,
            identity,
            listen: listen.parse().unwrap(),
            members: receiver,
            bounds,
        };
        let links = NodeLinks::start(params, Arc::clone(&story) as _).unwrap();
        let address = Some(links.local_addr().unwrap());
        let name = NodeName::try_new(&format!("node-{number}")).unwrap();
        let member = Member { name, incarnation, address, fingerprint };
        Self { member, links, story, members }
    }

    /// From now on these nodes have leases, as far as this node knows.
    pub(crate) fn learn<'a>(&self, members: impl IntoIterator<Item = &'a Member>) {
        self.members.send_replace(members.into_iter().cloned().collect());
    }

    /// The newest link to a peer.
    pub(crate) fn link(&self, peer: &Member) -> NodeLink {
        self.story.links.lock()[&peer.incarnation].clone()
    }

    /// Everything that was told about this peer.
    pub(crate) fn told(&self, peer: &Member) -> Vec<Told> {
        self.story.told.lock().get(&peer.incarnation).cloned().unwrap_or_default()
    }

    /// The frames that this peer has sent.
    pub(crate) fn frames(&self, peer: &Member) -> Vec<Vec<u8>> {
        let frame = |told| match told {
            Told::Frame(frame) => Some(frame),
            _ => None,
        };
        self.told(peer).into_iter().filter_map(frame).collect()
    }

    /// The ends of links to this peer.
    pub(crate) fn losses(&self, peer: &Member) -> Vec<LinkLoss> {
        let loss = |told| match told {
            Told::Lost(loss) => Some(loss),
            _ => None,
        };
        self.told(peer).into_iter().filter_map(loss).collect()
    }

    /// Waits until what was told about a peer is as wanted.
    pub(crate) async fn until(&self, peer: &Member, wanted: impl Fn(&[Told]) -> bool) {
        let mut grown = self.story.grown.subscribe();
        let enough = grown.wait_for(|_| {
            let told = self.story.told.lock();
            wanted(told.get(&peer.incarnation).map_or(&[], Vec::as_slice))
        });
        let enough = tokio::time::timeout(PATIENCE, enough).await;
        assert!(enough.is_ok(), "of {}: {}", peer.name, self.summary(peer));
    }

    fn summary(&self, peer: &Member) -> String {
        let (frames, mut others) = (self.frames(peer).len(), self.told(peer));
        others.retain(|told| !matches!(told, Told::Frame(_)));
        format!("{frames} frames, {others:?}")
    }

    pub(crate) async fn until_reached(&self, peer: &Member, times: usize) {
        let is_reached = |told: &&Told| matches!(told, Told::Reached);
        self.until(peer, |told| told.iter().filter(is_reached).count() >= times).await;
    }

    pub(crate) async fn until_frames(&self, peer: &Member, count: usize) {
        let is_frame = |told: &&Told| matches!(told, Told::Frame(_));
        self.until(peer, |told| told.iter().filter(is_frame).count() >= count).await;
    }

    /// Waits for the first end of a link to this peer, and says how it ended.
    pub(crate) async fn until_lost(&self, peer: &Member) -> LinkEnd {
        self.until(peer, |told| told.iter().any(|told| matches!(told, Told::Lost(_)))).await;
        self.losses(peer)[0].end
    }

    /// Hangs with the next frame, or goes on.
    pub(crate) fn hang(&self, hangs: bool) {
        *self.story.hangs.lock() = hangs;
        self.story.goes_on.notify_all();
    }
}

/// Nodes 1 to `count`, which know each other.
pub(crate) fn fleet(count: u64) -> Vec<Node> {
    let nodes: Vec<Node> = (1..=count).map(Node::start).collect();
    for node in &nodes {
        node.learn(nodes.iter().map(|node| &node.member));
    }
    nodes
}

/// Two of them, linked.
pub(crate) async fn pair() -> (Node, Node) {
    let mut nodes = fleet(2).into_iter();
    let (one, two) = (nodes.next().unwrap(), nodes.next().unwrap());
    one.until_reached(&two.member, 1).await;
    two.until_reached(&one.member, 1).await;
    (one, two)
}

pub(crate) fn incarnation(number: u64) -> NodeIncarnation {
    NodeIncarnation::new(number).unwrap()
}

pub(crate) fn agent(number: u32) -> InstanceUid {
    let mut bytes = [0x5a; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    InstanceUid::from_bytes(bytes)
}

/// A frame that says whose it is, with which number, and has this many bytes more.
pub(crate) fn frame(agent: u32, number: u32, more: usize) -> Vec<u8> {
    let mut frame = [agent.to_be_bytes(), number.to_be_bytes()].concat();
    frame.resize(8 + more, agent.to_be_bytes()[3] ^ number.to_be_bytes()[3]);
    frame
}

/// The agent and the number of a frame, whose other bytes must be as they were sent.
pub(crate) fn read(bytes: &[u8]) -> (u32, u32) {
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (agent, number) = (word(0), word(4));
    assert!(bytes == frame(agent, number, bytes.len() - 8), "a frame was damaged");
    (agent, number)
}

/// Each agent's frames must be those numbered from 0 to `count`, in order.
pub(crate) fn assert_in_order(frames: &[Vec<u8>], agents: u32, count: u32) {
    let mut next = HashMap::new();
    for bytes in frames {
        let (agent, number) = read(bytes);
        let expected = next.entry(agent).or_insert(0);
        assert_eq!(number, *expected, "of agent {agent}");
        *expected += 1;
    }
    assert_eq!(next.len(), agents as usize);
    assert!(next.values().all(|next| *next == count), "{next:?}");
}
