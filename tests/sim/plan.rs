//! What a seed decides before anything happens: who takes part, and what goes wrong. Each seed has
//! some kinds of fault and lacks the rest, so that what one kind covers up, another seed shows.

use std::num::NonZeroU32;
use std::time::Duration;

use seawall::core::drain::Terms;
use seawall::sessions::params::SessionsParams;
use seawall::store::StoreParams;

use crate::agent::Kind;
use crate::gate::GatePlan;
use crate::pace::PaceSettings;
use crate::server::Traits;
use crate::simulation::random::Random;
use crate::status::{PARTS, Part};

/// Room for everything that agents report.
pub(crate) const STORE_BYTES: usize = 1 << 20;

/// In percent: every message has to wait for a permit, also when everything works.
pub(crate) const EVERY: u64 = 100;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An agent's connection is cut, both ends find out soon or late; it dials again.
    AgentCut,
    /// The same, and the agent stays away for a while.
    AgentAway,
    /// An agent's process dies and starts again.
    AgentCrash,
    /// It says that it leaves, and starts again.
    AgentStop,
    /// It leaves for good, in either way.
    AgentGone,
    /// A link is cut.
    LinkCut,
    /// A server dies and comes back.
    ServerKill,
    /// A server refuses everything for a while, and says so.
    Overload,
    /// A server stops reading a link for a while.
    Stall,
    /// A node dies; another starts.
    NodeKill,
    /// A node hands its agents over to another one.
    Drain,
    /// Mode `http`: a server is up and fails.
    HttpFails,
    /// Other clients take a node's connections for a while.
    Crowd,
    /// A node must hold still towards servers for a while.
    HoldStill,
}

impl Fault {
    const ALL: [Self; 13] = [
        Self::AgentCut,
        Self::AgentAway,
        Self::AgentCrash,
        Self::AgentStop,
        Self::AgentGone,
        Self::LinkCut,
        Self::ServerKill,
        Self::Overload,
        Self::Stall,
        Self::NodeKill,
        Self::Drain,
        Self::Crowd,
        Self::HttpFails,
    ];
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) agents: Vec<Kind>,
    pub(crate) servers: Vec<Traits>,
    /// Shared links a server; 0: one an agent.
    pub(crate) links: u16,
    /// Servers are spoken to by POST, over as many channels as there are links.
    pub(crate) http: bool,
    /// Mode `http`: servers refuse some messages for what they say.
    pub(crate) refuses: bool,
    /// Messages that may wait on a link.
    pub(crate) room: usize,
    pub(crate) pace: PaceSettings,
    /// Milliseconds that a message takes to a server at most: what is under way is lost with a link.
    pub(crate) away: u64,
    pub(crate) faults: Vec<Fault>,
    /// Mean time between faults, and between an agent's doings.
    pub(crate) fault_every: Duration,
    pub(crate) act_every: Duration,
    /// When the faults end.
    pub(crate) lasts: Duration,
    pub(crate) params: SessionsParams,
    pub(crate) drain: Terms,
    pub(crate) gate: GatePlan,
}

impl Plan {
    /// `later`: decides what stories were given after they had been told: the others stay as they were.
    pub(crate) fn new(random: &mut Random, later: &mut Random) -> Self {
        let links = random.pick(&[0, 1, 1, 2, 3]);
        let servers = 1 + u64::from(random.percent(40));
        let agents = 2 + random.below(5);
        let mut faults: Vec<_> = Fault::ALL.into_iter().filter(|_| random.percent(35)).collect();
        if later.percent(25) {
            faults.push(Fault::HoldStill);
        }
        let agents: Vec<Kind> = (0..agents).map(|_| kind(random)).collect();
        let fewest = u32::try_from(agents.len()).unwrap();
        let params = SessionsParams {
            sessions_max: random.pick(&[1_000, fewest]),
            grace_period: random.pick(&[Duration::from_secs(60), Duration::from_secs(20)]),
            heartbeat_forward_interval: Duration::from_secs(random.pick(&[60, 60, 60, 120, 0])),
            store: StoreParams {
                bytes_max: random.pick(&[
                    STORE_BYTES,
                    STORE_BYTES,
                    STORE_BYTES,
                    STORE_BYTES,
                    800,
                    300,
                ]),
                entries_max: 1_000,
                shards: 1,
            },
            ..SessionsParams::default()
        };
        let gate = GatePlan::new(agents.len(), random);
        let http = links > 0 && random.percent(30);
        let mut traits: Vec<Traits> = (0..servers).map(|_| traits(links == 0, random)).collect();
        for one in traits.iter_mut().filter(|_| http) {
            // One message at a time goes over a channel; and a lost response is unknown to its server.
            (one.late, one.reoffers) = (one.late.min(5), true);
            // A server that asks on every reply, and restarts so fast that every dial succeeds, asks in vain
            // for what it has forgotten: its question looks like all questions before.
            one.keeps_state |= one.always_asks;
        }
        let pace = PaceSettings {
            most: random.pick(&[20_000, 20_000, 20, 3]),
            least: 1 + u32::from(random.percent(50)),
            in_flight: random.pick(&[4_096, 4_096, 4, 1]),
            refusals: random.pick(&[0, 0, 0, 20, 20, EVERY]),
        };
        // One message at a time: a channel carries more than the floor of the pace lets go, or its queue grows for ever.
        let away = |ms: u64| if http { ms.min(300) } else { ms };
        Self {
            http,
            refuses: random.percent(30),
            agents,
            servers: traits,
            links,
            room: random.pick(&[4, 1000, 1000]),
            pace,
            away: away(random.pick(&[40, 40, 40, 2_000])),
            faults,
            fault_every: Duration::from_secs(random.pick(&[2, 5, 15])),
            act_every: Duration::from_secs(random.pick(&[2, 8, 25])),
            lasts: Duration::from_secs(60 + random.below(120)),
            params,
            drain: drain_terms(random).after_admission(gate.rate),
            gate,
        }
    }
}

fn drain_terms(random: &mut Random) -> Terms {
    Terms {
        rate: NonZeroU32::new(random.pick(&[0, 1, 1, 2, 5])),
        notice: Duration::from_secs(random.below(6)),
        time_max: Duration::from_secs(random.pick(&[5, 20, 40])),
        ..Terms::default()
    }
}

fn kind(random: &mut Random) -> Kind {
    let mut has = [true; PARTS];
    for part in [Part::Health, Part::Config, Part::Packages, Part::Components, Part::Unknown] {
        has[part as usize] = random.percent(70);
    }
    let accepts_config = random.percent(70);
    has[Part::Remote as usize] = accepts_config || random.percent(50);
    let polls = random.percent(25);
    let interval = Duration::from_secs(30);
    Kind {
        full_on_reconnect: random.percent(50),
        first_number: u64::from(random.percent(30)),
        polls,
        retries: random.percent(60),
        patience: Duration::from_secs(if random.percent(60) { 45 } else { random.pick(&[1, 10]) }),
        obeys: random.percent(65),
        clock_percent: random.pick(&[100, 100, 92, 109]),
        shows_uid: random.percent(80),
        heartbeat: (polls || random.percent(75)).then_some(interval),
        silent: !polls && random.percent(15),
        accepts_config,
        echoes: random.percent(50),
        remembers_config: random.percent(50),
        has,
    }
}

fn traits(per_agent: bool, random: &mut Random) -> Traits {
    Traits {
        keeps_state: random.percent(50),
        counts: random.percent(45),
        always_asks: random.percent(15),
        wants_map: random.percent(50),
        late: random.pick(&[0, 0, 5, 50]),
        omits_uid: per_agent && random.percent(50),
        forgets_leavers: random.percent(60),
        forgets_with_link: random.percent(30),
        reoffers: random.percent(50),
    }
}
