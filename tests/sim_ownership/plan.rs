//! What a seed decides before anything happens: how many nodes, and what goes wrong. Each seed has some kinds of
//! fault and lacks the rest, so that what one kind covers up, another seed shows.

use std::time::Duration;

use seawall::core::ownership::NodeParams;

use crate::simulation::random::Random;
use crate::world::Time;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Calls to the store, and answers, are lost for a while.
    StoreLoses,
    /// Calls are answered by errors for a while.
    StoreRefuses,
    /// Calls take seconds: some are carried out after their callers have given up.
    StoreDelays,
    /// The store stops, and starts again with its data.
    StoreRestarts,
    /// The store is stopped and goes on: what has come meanwhile is carried out late.
    StorePauses,
    /// A replica that lags by seconds takes the store's place.
    StoreFailsOver,
    /// The store starts again from an old dump.
    StoreFromDump,
    /// The store starts again empty.
    StoreForgets,
    /// Two masters take writes for a while.
    StoreSplits,
    /// A node cannot reach the store for a while.
    NodeCut,
    /// Nodes on one side, with the store, and on the other cannot reach each other.
    Partition,
    /// A node link is cut, in one direction or both.
    LinkCut,
    /// A node link takes seconds, or loses messages.
    LinkSlow,
    /// A node link breaks, and is there again.
    LinkBreaks,
    /// A node's process dies, and another of its name starts.
    Crash,
    /// A node is stopped, and goes on later.
    Pause,
    /// A node's wall clock does something that it should not do.
    WallClock,
    /// A node leaves, and another of its name starts.
    Leave,
    /// A node hands over everything by request, and stays a member for a while before it leaves.
    HandOver,
    /// A node leaves, the others lose the store for longer than they may go on without it, and then one comes that
    /// they do not know of.
    Newcomer,
    /// A node is cut off from the others and the store, and is taken over. Then a replica on its side, which lacks
    /// that, takes the store's place, out of reach of the others.
    StoreChangesSides,
    /// A node joins and gets a shard's sessions, but its word of that is lost, and so is the former home's that it
    /// keeps the shard. Later the former home dies.
    HandOverCut,
}

impl Fault {
    const ALL: [Self; 21] = [
        Self::StoreLoses,
        Self::StoreDelays,
        Self::StoreRestarts,
        Self::StorePauses,
        Self::StoreFailsOver,
        Self::StoreFromDump,
        Self::StoreForgets,
        Self::StoreSplits,
        Self::NodeCut,
        Self::Partition,
        Self::LinkCut,
        Self::LinkSlow,
        Self::LinkBreaks,
        Self::Crash,
        Self::Pause,
        Self::WallClock,
        Self::Leave,
        Self::HandOver,
        Self::Newcomer,
        Self::StoreChangesSides,
        Self::HandOverCut,
    ];

    /// Whether it leaves nodes and their links as they are.
    pub(crate) const fn is_of_the_store(self) -> bool {
        matches!(
            self,
            Self::StoreLoses
                | Self::StoreRefuses
                | Self::StoreDelays
                | Self::StoreRestarts
                | Self::StorePauses
                | Self::StoreFailsOver
                | Self::StoreFromDump
                | Self::StoreForgets
                | Self::StoreSplits
                | Self::NodeCut
                | Self::Newcomer
                | Self::StoreChangesSides
        )
    }
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Where nodes run.
    pub(crate) places: usize,
    /// When each of them starts.
    pub(crate) starts: Vec<Time>,
    pub(crate) params: NodeParams,
    pub(crate) faults: Vec<Fault>,
    /// Mean time between faults.
    pub(crate) fault_every: Duration,
    /// When the faults end.
    pub(crate) lasts: Time,
    /// What happens to one more node in the calm: it hands over and leaves; otherwise it dies.
    pub(crate) ends_with_hand_over: bool,
}

/// Faults that are at their worst together.
const FIENDS: [&[Fault]; 12] = [
    &[Fault::Pause, Fault::StoreDelays, Fault::NodeCut],
    &[Fault::Crash, Fault::StoreFailsOver, Fault::NodeCut],
    &[Fault::Crash, Fault::StoreForgets, Fault::Pause],
    &[Fault::StoreSplits],
    &[Fault::Crash, Fault::NodeCut, Fault::LinkCut],
    &[Fault::WallClock, Fault::Pause, Fault::StoreRestarts],
    &[Fault::Leave, Fault::Crash, Fault::StoreDelays, Fault::StoreFailsOver],
    &[Fault::Pause, Fault::Partition, Fault::StoreFailsOver],
    &[Fault::HandOver, Fault::Crash, Fault::LinkCut, Fault::LinkSlow],
    &[Fault::Newcomer],
    &[Fault::StoreChangesSides],
    &[Fault::HandOverCut],
];

fn faults(random: &mut Random) -> Vec<Fault> {
    if random.percent(40) {
        return random.pick(&FIENDS).to_vec();
    }
    let share = random.pick(&[12, 25, 40]);
    let mut faults: Vec<Fault> = Fault::ALL.into_iter().filter(|_| random.percent(share)).collect();
    if faults.is_empty() {
        faults.push(random.pick(&Fault::ALL));
    }
    faults
}

/// In one of this many stories the store answers calls with errors as well.
const REFUSED_EACH: u64 = 5;

/// The lease time of all stories.
pub(crate) const LEASE: Duration = Duration::from_secs(9);

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let places = random.pick(&[1, 2, 2, 3, 3, 3, 4, 5]);
        let faults = faults(random);
        let start = |random: &mut Random| {
            Duration::from_secs(if random.percent(60) { 0 } else { random.below(60) })
        };
        let autonomy = Duration::from_secs(random.pick(&[25, 45, 90]));
        // An outage of the store that lasts longer than nodes may go on without it takes its time.
        let outage =
            if faults.contains(&Fault::Newcomer) { autonomy + LEASE * 6 } else { Time::ZERO };
        let mut plan = Self {
            places,
            starts: (0..places).map(|_| start(random) + random.ms(0, 2_000)).collect(),
            params: NodeParams {
                lease: LEASE,
                autonomy,
                shards: random.pick(&[4, 8, 13]),
                lone_speaks: random.percent(15),
                private: false,
            },
            faults,
            fault_every: Duration::from_secs(random.pick(&[3, 8, 20, 45])),
            lasts: Duration::from_secs(80 + random.below(120)) + outage,
            ends_with_hand_over: random.percent(50),
        };
        // Between two masters other faults say more.
        let splits = plan.faults.contains(&Fault::StoreSplits);
        if plan.lasts.as_secs().is_multiple_of(REFUSED_EACH) && !splits {
            plan.faults.push(Fault::StoreRefuses);
        }
        plan
    }
}
