//! What threads other than the fleet's task ask: where a shard is at home, what may be sent where, whether this node
//! may speak. Each answer comes at once.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::data_plane::DataPlane;
use super::inquiry::{NodeAnswers, OpenInquiries};
use super::life::{Life, new_incarnation, new_node};
use super::links::LinkTable;
use super::map::PresentMap;
use super::params::{FleetError, FleetParams};
use super::progress::{Progress, Waiting};
use super::tally::{StoreFigures, StoreTally};
use crate::clock;
use crate::core::admission::FleetShare;
use crate::core::ownership::{
    AbsenceBegan, AbsenceEnd, ClockReading, Figures, HoldReason, Home, Lease, MapVersion, Node,
    NodeEffect, NodeEvent, NodeIncarnation, NodeName, NodeOutline, ShardId, Standing,
};
use crate::ident::InstanceUid;
use crate::ownership::{Store, StorePlace};
use crate::sessions::Ways;

/// Events that wait for the task. What members say is said again if it finds no room.
const INBOX_MAX: usize = 1_024;

/// See the module's text. One for a process.
pub struct Fleet {
    pub(super) params: FleetParams,
    pub(super) store: Arc<dyn Store>,
    /// `None`: this node has no others, and its sessions go by themselves.
    pub(super) plane: Option<Arc<dyn DataPlane>>,
    node: Mutex<Node>,
    /// The incarnation, apart from the lock.
    me: AtomicU64,
    pub(super) map: PresentMap,
    pub(super) links: LinkTable,
    pub(super) inquiries: OpenInquiries,
    pub(super) answers: OnceLock<Weak<dyn NodeAnswers>>,
    pub(super) store_calls: StoreTally,
    pub(super) secret_id: AtomicU64,
    /// This node cannot listen for the others, and tries again.
    pub(super) deaf: AtomicBool,
    /// The right to speak was lost, and what waits on links is yet to be dropped.
    drops_due: AtomicBool,
    /// The highest version of the map that another node has named.
    version_seen: AtomicU64,
    /// Wakes the task before its next tick.
    pub(super) look: Notify,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) stops: watch::Sender<bool>,
    inbox: mpsc::Sender<NodeEvent>,
}

/// How often a node that hands over looks whether it is done.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What both clocks show.
fn reading() -> ClockReading {
    ClockReading { monotonic: clock::now(), wall: clock::wall() }
}

impl Fleet {
    /// A node with its events, for its task.
    pub(super) fn with(
        life: &Life,
        params: FleetParams,
        store: Arc<dyn Store>,
        plane: Option<Arc<dyn DataPlane>>,
    ) -> (Arc<Self>, mpsc::Receiver<NodeEvent>) {
        let incarnation = new_incarnation();
        let node = new_node(&params, incarnation, &life.linked);
        let (inbox, events) = mpsc::channel(INBOX_MAX);
        let fleet = Self {
            map: PresentMap::new(&node),
            node: Mutex::new(node),
            me: AtomicU64::new(incarnation.get()),
            params,
            store,
            plane,
            links: LinkTable::default(),
            inquiries: OpenInquiries::default(),
            answers: OnceLock::new(),
            store_calls: StoreTally::default(),
            secret_id: AtomicU64::new(0),
            deaf: AtomicBool::new(false),
            drops_due: AtomicBool::new(false),
            version_seen: AtomicU64::new(0),
            look: Notify::new(),
            progress: watch::Sender::new(Progress::Starting(Waiting::Membership)),
            stops: watch::Sender::new(false),
            inbox,
        };
        (Arc::new(fleet), events)
    }

    /// This node's present incarnation.
    pub fn incarnation(&self) -> NodeIncarnation {
        let number = self.me.load(Ordering::Relaxed);
        NodeIncarnation::new(number).expect("it was made of an incarnation")
    }

    /// This node's name.
    pub const fn name(&self) -> &NodeName {
        &self.params.name
    }

    /// Whether a node's settings are other ones than this node's where all must agree.
    pub const fn differs(&self, lease: &Lease) -> bool {
        lease.settings != self.params.settings
    }

    /// What an operator may see of the fleet, as this node sees it.
    pub fn outline(&self) -> NodeOutline {
        self.node.lock().outline(reading())
    }

    /// The shard's home by the map, whether it is in reach or not.
    pub fn home_of(&self, shard: ShardId) -> Option<Home> {
        self.map.home(shard)
    }

    /// The name of a member.
    pub fn name_of(&self, node: NodeIncarnation) -> Option<NodeName> {
        if node == self.incarnation() {
            return Some(self.params.name.clone());
        }
        self.look_at(|it| it.name_of(node).cloned())
    }

    /// Where the store is.
    pub fn store_place(&self) -> StorePlace {
        self.store.place()
    }

    /// What has become of calls to the store.
    pub fn store_figures(&self) -> StoreFigures {
        self.store_calls.figures()
    }

    /// Whether a byte may be written to servers now, by both clocks.
    pub fn may_write(&self) -> bool {
        let may = {
            let node = self.node.lock();
            // Read with the lock held: it is set under the lock that finds the lapse.
            !self.drops_due.load(Ordering::Relaxed) && node.standing(reading()).is_ok()
        };
        if !may {
            self.look.notify_one();
        }
        may
    }

    /// By what right this node speaks, or why it holds still.
    ///
    /// # Errors
    /// Says what the right to speak is waiting for.
    pub fn standing(&self) -> Result<Standing, HoldReason> {
        self.node.lock().standing(reading())
    }

    /// What this node may take of the fleet's admission rate, as the operator has set it; empty while that is unknown.
    pub fn admission_share(&self, rate: Option<NonZeroU32>) -> Option<FleetShare> {
        self.node.lock().admission_share(rate, reading())
    }

    /// What the other nodes are to count with from the next renewal on; `urgent`: which comes at once.
    pub fn set_figures(&self, figures: Figures, urgent: bool) {
        self.tell(NodeEvent::FiguresChanged { figures, urgent });
    }

    /// Whether this node cannot listen for the others at present. It tries again by itself.
    pub fn is_deaf(&self) -> bool {
        self.deaf.load(Ordering::Relaxed)
    }

    /// How far this node is.
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Waits until agents can be served.
    ///
    /// # Errors
    /// If another live node has this node's name.
    pub async fn ready(&self) -> Result<(), FleetError> {
        let mut progress = self.progress.subscribe();
        let settled = |progress: &Progress| !matches!(progress, Progress::Starting(_));
        match progress.wait_for(settled).await.as_deref() {
            Ok(Progress::NameInUse(name)) => Err(FleetError::NameInUse(name.clone())),
            // The sender is a part of this value.
            _ => Ok(()),
        }
    }

    /// Completes when another live node turns out to have this node's name.
    pub async fn displaced(&self) -> FleetError {
        let mut progress = self.progress.subscribe();
        let displaced = |progress: &Progress| matches!(progress, Progress::NameInUse(_));
        match progress.wait_for(displaced).await.as_deref() {
            Ok(Progress::NameInUse(name)) => FleetError::NameInUse(name.clone()),
            _ => std::future::pending().await,
        }
    }

    /// Hands all shards over and stays a member, for the agents that are connected here. Returns whether all are
    /// handed over within this time. If all other nodes leave as well, they stay.
    pub async fn hand_over(&self, within: Duration) -> bool {
        // The task ends with the process alone.
        let _ = self.inbox.send(NodeEvent::HandOverWanted).await;
        let done = async {
            loop {
                let me = self.incarnation();
                if self.map.get().held_by(me) == 0 {
                    return true;
                }
                let stays = |lease: &Lease| lease.incarnation != me && !lease.leaving;
                if !self.look_at(|node| node.content().leases.iter().any(stays)) {
                    return false;
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        timeout(within, done).await.unwrap_or(false)
    }

    /// Ends the node links with a goodbye, and the task with them.
    pub fn stop(&self) {
        self.stops.send_replace(true);
    }

    /// Hands all shards over and ends the membership, within this time. Returns whether it came to that: otherwise
    /// the others take over as from a node that died.
    pub async fn leave(&self, within: Duration) -> bool {
        // The task ends with the process alone.
        let _ = self.inbox.send(NodeEvent::LeaveWanted).await;
        let mut progress = self.progress.subscribe();
        let left = progress.wait_for(|progress| *progress == Progress::Left);
        timeout(within, left).await.is_ok_and(|left| left.is_ok())
    }

    /// Gives an event to the task. There is none of which the loss is not made good.
    pub(super) fn tell(&self, event: NodeEvent) {
        let _ = self.inbox.try_send(event);
    }

    /// The version of the map to read, if another node has named a higher one than this node has read.
    pub(super) fn unread_version(&self) -> Option<MapVersion> {
        let seen = MapVersion(self.version_seen.load(Ordering::Relaxed));
        (seen > self.map.version()).then_some(seen)
    }

    /// Gives an event to the state machine.
    pub(super) fn handle(&self, event: NodeEvent, effects: &mut Vec<NodeEffect>) {
        let mut node = self.node.lock();
        node.handle(event, reading(), effects);
        if effects.contains(&NodeEffect::DropWaiting) {
            self.drops_due.store(true, Ordering::Relaxed);
        }
    }

    /// What waited on links to servers is dropped.
    pub(super) fn dropped_waiting(&self) {
        self.drops_due.store(false, Ordering::Relaxed);
    }

    /// Looks at the state machine.
    pub(super) fn look_at<T>(&self, look: impl FnOnce(&Node) -> T) -> T {
        look(&self.node.lock())
    }

    /// Another life begins.
    pub(super) fn begin_anew(&self, life: &Life) {
        let incarnation = new_incarnation();
        let mut node = self.node.lock();
        *node = new_node(&self.params, incarnation, &life.linked);
        self.me.store(incarnation.get(), Ordering::Relaxed);
        self.map.clear(&node);
        self.version_seen.store(0, Ordering::Relaxed);
    }
}

impl Ways for Fleet {
    fn me(&self) -> NodeIncarnation {
        self.incarnation()
    }

    fn home(&self, shard: ShardId) -> Option<Home> {
        let home = self.map.home(shard)?;
        (home.node == self.incarnation() || self.links.has(home.node)).then_some(home)
    }

    fn members(&self) -> Vec<NodeIncarnation> {
        self.look_at(|node| node.members().collect())
    }

    fn linked(&self) -> Vec<NodeIncarnation> {
        self.links.all()
    }

    fn version(&self) -> MapVersion {
        self.map.version()
    }

    fn send(
        &self,
        to: NodeIncarnation,
        uid: InstanceUid,
        write: &mut dyn FnMut(&mut Vec<u8>),
    ) -> bool {
        self.links.send(to, uid, write)
    }

    fn read_map(&self, version: MapVersion) {
        if self.version_seen.fetch_max(version.0, Ordering::Relaxed) < version.0 {
            self.look.notify_one();
        }
    }

    fn secret_id(&self) -> u64 {
        self.secret_id.load(Ordering::Relaxed)
    }

    fn absence_end(&self, began: AbsenceBegan, grace: Duration, now: Instant) -> AbsenceEnd {
        let now = ClockReading { monotonic: now, wall: clock::wall() };
        self.node.lock().absence_end(began, grace, now)
    }
}
