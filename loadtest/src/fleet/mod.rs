//! A fleet of simulated agents in one process: a few threads, each with a single-threaded runtime
//! and its share of the agents, one task an agent. Agents share buffers: bytes are read into, and
//! messages built in, scratch space of the thread.

pub(crate) mod agent;
mod backoff;
pub(crate) mod choice;
pub(crate) mod clients;
mod dial;
mod frame;
mod life;
pub(crate) mod load;
pub(crate) mod manners;
pub(crate) mod measured;
mod mix;
pub(crate) mod moves;
mod poller;
mod post;
mod profile;
mod protobuf;
mod scratch;
mod session;
mod state;
pub(crate) mod target;
mod task;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use seawall::clock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::human::Human;
use crate::oracle::judge::AgentLine;
use crate::procfs;
use agent::FleetAgent;
pub(crate) use backoff::DialBackoff;
use choice::TargetChoice;
use clients::shares::ClientShares;
use load::LoadOrder;
use manners::{Census, Manners, Shares, Wave};
use measured::Measured;
pub(crate) use mix::Mix;
use moves::{MoveOrder, OrderedMove};
use post::HttpConnection;
use profile::Profile;
use target::{DialTarget, Requests};

/// How connections are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum CutWith {
    /// Reset, as when a balancer's process dies
    Rst,
    /// End of stream without a close frame
    Fin,
}

/// What a fleet is made of. Sent to workers as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Options {
    /// From which every agent follows.
    pub(crate) seed: u64,
    /// The number of the first agent.
    pub(crate) first: u32,
    /// How many agents.
    pub(crate) agents: u32,
    /// Where they dial.
    pub(crate) targets: Vec<DialTarget>,
    /// Which of the targets an agent dials, and among which, by their places, it chooses at first; all
    /// of them if there are none. [`FleetRequest::Serving`] changes that.
    pub(crate) choice: TargetChoice,
    pub(crate) serving: Vec<usize>,
    /// Which stock client each agent is.
    pub(crate) clients: ClientShares,
    /// This many connections carry all agents over HTTP; 0: each has its own.
    pub(crate) connections: u16,
    /// The first dials are a storm, from which returns are measured, behind an outage of so long.
    pub(crate) storms_at_start: bool,
    pub(crate) after_outage: Human,
    pub(crate) heartbeat: Human,
    /// First dials a second.
    pub(crate) dial_rate: f64,
    /// The share of agents whose state changes while they are cut off.
    pub(crate) changed: f64,
    pub(crate) cut_with: CutWith,
    /// The shares of agents that misbehave, err or stay away.
    pub(crate) shares: Shares,
    pub(crate) threads: u16,
}

impl Options {
    /// How many agents of each kind there are.
    pub(crate) fn census(&self) -> Census {
        let indices = self.first..self.first.saturating_add(self.agents);
        Census::take(self.seed, indices, &self.shares)
    }

    /// How many agents tell all that they have by themselves.
    pub(crate) fn tell_all(&self) -> u32 {
        let indices = self.first..self.first.saturating_add(self.agents);
        self.clients.count(self.seed, indices, |part| part.habits().speech.first.tells_all())
    }
}

/// What a fleet can be asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FleetRequest {
    /// How are things?
    Stats,
    /// Cut the connections of a wave at this instant (microseconds of Unix time).
    Cut { at_unix_us: u64, wave: Wave },
    /// Let all agents send, from this instant on (likewise).
    Load { at_unix_us: u64, order: LoadOrder },
    /// End the load. What was due until now is still sent, and replies are still timed.
    EndLoad,
    /// Let agents move to another target, from this instant on (likewise).
    Move { at_unix_us: u64, order: MoveOrder },
    /// These targets, by their places, are the ones to choose from now on, as a balancer knows them.
    Serving(Vec<usize>),
    /// How often has each agent dialled?
    Dials,
    /// What is true of each agent?
    Truth,
    /// What has been measured?
    Measured,
    /// How much processor time has the process used?
    CpuSeconds,
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum FleetResponse {
    Stats(Stats),
    Done,
    Truth(Vec<AgentLine>),
    Measured(Box<Measured>),
    Dials(Vec<u32>),
    CpuSeconds(f64),
}

/// Gauges, cheap to ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// Agents with an open WebSocket.
    pub(crate) connected: u64,
    /// Of these, the agents that have got a reply on it.
    pub(crate) answered: u64,
    /// Agents that have got a reply since they were cut off.
    pub(crate) back: u64,
    /// Agents that have yet to get one. Counts from the order to cut on, so that 0 means that all
    /// are back even before the first agent notices a cut.
    pub(crate) outstanding: u64,
    /// Upgrades refused since the start.
    pub(crate) refusals: u64,
}

/// An order to cut.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: Instant,
    wave: Wave,
}

/// What agents are told all at once.
#[derive(Debug, Default)]
struct Orders {
    /// In the order in which they fall due; two at most in any storm.
    cuts: Vec<Cut>,
    load: Option<LoadOrder>,
    /// When the load ends before its time.
    load_ends: Option<Instant>,
    /// In the order in which they came.
    moves: Vec<OrderedMove>,
    /// The targets to choose from; all of them while it is empty.
    serving: Vec<usize>,
    /// The threads are to end, and all connections with them.
    stop: bool,
}

/// One thread's share.
#[derive(Debug, Default)]
struct FleetThread {
    /// Wakes every agent of the thread; what for stands in [`AgentFleet::orders`].
    signal: Notify,
    measured: Mutex<Measured>,
    /// The connections that its agents over HTTP share, if they do.
    shared: Box<[tokio::sync::Mutex<Option<HttpConnection>>]>,
}

impl FleetThread {
    fn new(shared: usize) -> Self {
        Self { shared: (0..shared).map(|_| Default::default()).collect(), ..Self::default() }
    }
}

/// All agents of the process.
#[derive(Debug)]
pub(crate) struct AgentFleet {
    options: Options,
    profile: Profile,
    /// For each client, and of that for each target.
    requests: Vec<Requests>,
    agents: Box<[Mutex<FleetAgent>]>,
    threads: Vec<FleetThread>,
    orders: RwLock<Orders>,
    /// When the next order falls due.
    conductor: watch::Sender<Option<Instant>>,
    handles: Mutex<Vec<JoinHandle<()>>>,
    connected: AtomicU64,
    answered: AtomicU64,
    back: AtomicU64,
    outstanding: AtomicU64,
    refusals: AtomicU64,
}

/// How soon a fleet begins to dial.
const LEAD: Duration = Duration::from_millis(20);

impl AgentFleet {
    /// Creates the agents and lets them dial. They go on until they are stopped.
    ///
    /// # Errors
    /// When a thread or its runtime fails to start.
    pub(crate) fn start(options: Options) -> io::Result<Arc<Self>> {
        let profile = Profile::new(options.seed);
        let threads = usize::from(options.threads.max(1));
        let numbers = options.first..options.first.saturating_add(options.agents);
        let clients = options.clients.parts();
        let of_client = |user_agent| options.targets.iter().map(move |it| it.requests(user_agent));
        let agent = |index| {
            let client = clients[options.clients.place_of(options.seed, index)];
            Mutex::new(FleetAgent::new(&profile, index, client.habits()))
        };
        let shared = |thread: usize| {
            let all = usize::from(options.connections);
            (all / threads + usize::from(thread < all % threads)).max(all.min(1))
        };
        let due = if options.storms_at_start { options.census().returning } else { 0 };
        let fleet = Arc::new(Self {
            requests: clients.iter().flat_map(|client| of_client(client.user_agent())).collect(),
            agents: numbers.map(agent).collect(),
            profile,
            threads: (0..threads).map(|thread| FleetThread::new(shared(thread))).collect(),
            orders: RwLock::new(Orders { serving: options.serving.clone(), ..Orders::default() }),
            options,
            conductor: watch::Sender::new(None),
            handles: Mutex::default(),
            connected: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            back: AtomicU64::new(0),
            outstanding: AtomicU64::new(due),
            refusals: AtomicU64::new(0),
        });
        let start = clock::now() + LEAD;
        for thread in 0..threads {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let agents = fleet.clone();
            let handle = std::thread::Builder::new()
                .name(format!("agents-{thread}"))
                .spawn(move || runtime.block_on(run_thread(agents, thread, start)))?;
            fleet.handles.lock().push(handle);
        }
        Ok(fleet)
    }

    /// Answers.
    pub(crate) fn ask(&self, request: &FleetRequest) -> FleetResponse {
        match request {
            FleetRequest::Stats => FleetResponse::Stats(self.stats()),
            FleetRequest::Cut { at_unix_us, wave } => {
                self.cut(Cut { at: from_unix_us(*at_unix_us), wave: *wave });
                FleetResponse::Done
            }
            FleetRequest::Load { at_unix_us, order } => {
                self.load(from_unix_us(*at_unix_us), order.clone());
                FleetResponse::Done
            }
            FleetRequest::EndLoad => {
                let now = clock::now();
                self.orders.write().load_ends = Some(now);
                self.conductor.send_replace(Some(now));
                FleetResponse::Done
            }
            FleetRequest::Move { at_unix_us, order } => {
                let start = from_unix_us(*at_unix_us);
                self.orders.write().moves.push(OrderedMove { start, order: order.clone() });
                self.conductor.send_replace(Some(clock::now()));
                FleetResponse::Done
            }
            FleetRequest::Serving(targets) => {
                self.orders.write().serving.clone_from(targets);
                FleetResponse::Done
            }
            FleetRequest::Dials => {
                FleetResponse::Dials(self.agents.iter().map(|agent| agent.lock().dials).collect())
            }
            FleetRequest::Truth => FleetResponse::Truth(self.truth()),
            FleetRequest::Measured => {
                let mut whole = Measured::default();
                for thread in &self.threads {
                    whole.merge(&thread.measured.lock());
                }
                FleetResponse::Measured(Box::new(whole))
            }
            FleetRequest::CpuSeconds => FleetResponse::CpuSeconds(
                procfs::cpu_seconds(std::process::id()).unwrap_or_default(),
            ),
        }
    }

    /// Ends the threads, and with them all connections, and waits until that is done.
    pub(crate) fn stop(&self) {
        self.orders.write().stop = true;
        self.conductor.send_replace(Some(clock::now()));
        for handle in self.handles.lock().drain(..) {
            // A thread that panicked has said so itself.
            let _ = handle.join();
        }
    }

    fn cut(&self, cut: Cut) {
        let census = self.options.census();
        let due = if cut.wave == Wave::First { census.returning } else { census.second_wave };
        self.outstanding.fetch_add(due, Ordering::Relaxed);
        {
            let mut orders = self.orders.write();
            orders.cuts.push(cut);
            orders.load = None;
        }
        self.conductor.send_replace(Some(cut.at));
    }

    fn load(&self, at: Instant, order: LoadOrder) {
        for thread in &self.threads {
            let mut measured = thread.measured.lock();
            measured.load = measured::Latencies::default();
            measured.load_sent = 0;
            measured.load_replies = 0;
        }
        {
            let mut orders = self.orders.write();
            orders.load = Some(order);
            orders.load_ends = None;
        }
        self.conductor.send_replace(Some(at));
    }

    fn truth(&self) -> Vec<AgentLine> {
        let now = clock::now();
        let is_cut = self.orders.read().cuts.first().is_some_and(|cut| cut.at <= now);
        let agents = (self.options.first..).zip(&self.agents);
        let truth = |(index, agent): (u32, &Mutex<FleetAgent>)| {
            let disconnected = is_cut && !self.manners(index).returns;
            Some(AgentLine { disconnected, ..agent.lock().truth(&self.profile)? })
        };
        agents.filter_map(truth).collect()
    }

    /// What agents of the client with this place send to the target with that place.
    fn requests_of(&self, client: usize, target: usize) -> &Requests {
        &self.requests[client * self.options.targets.len() + target]
    }

    /// An agent over HTTP has its first answer.
    fn has_answered(&self) {
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Of the agent with this number in the whole fleet.
    fn manners(&self, index: u32) -> Manners {
        Manners::of(self.options.seed, index, &self.options.shares)
    }

    fn stats(&self) -> Stats {
        Stats {
            connected: self.connected.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            back: self.back.load(Ordering::Relaxed),
            outstanding: self.outstanding.load(Ordering::Relaxed),
            refusals: self.refusals.load(Ordering::Relaxed),
        }
    }
}

/// Starts a thread's agents, then wakes them all whenever an order falls due.
async fn run_thread(fleet: Arc<AgentFleet>, thread: usize, start: Instant) {
    let rate = fleet.options.dial_rate.max(0.001);
    for local in (thread..fleet.agents.len()).step_by(fleet.threads.len()) {
        let first_dial = start + Duration::from_secs_f64(local as f64 / rate);
        tokio::spawn(task::live(fleet.clone(), thread, local, first_dial));
    }
    let mut orders = fleet.conductor.subscribe();
    while orders.changed().await.is_ok() {
        let due = *orders.borrow_and_update();
        if fleet.orders.read().stop {
            return;
        }
        if let Some(due) = due {
            tokio::time::sleep_until(due.into()).await;
            fleet.threads[thread].signal.notify_waiters();
        }
    }
}

/// An instant as other processes understand it.
pub(crate) fn to_unix_us(instant: Instant) -> u64 {
    let ahead = instant.saturating_duration_since(clock::now());
    let since = (clock::wall() + ahead).duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn from_unix_us(us: u64) -> Instant {
    let at: SystemTime = UNIX_EPOCH + Duration::from_micros(us);
    clock::now() + at.duration_since(clock::wall()).unwrap_or_default()
}
