//! Admission at one node, complete: the decision on each arrival, the rate it is taken at, the storm that is
//! noticed and the fleet that is known. The module's text says how to drive it.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::arrival::{Arrival, Ticket};
use super::automatic_rate::{AutomaticRate, Observed};
use super::decide::Admission;
use super::fleet::Fleet;
use super::params::{AdmissionParams, Capacity};
use super::patience::Queue;
use super::share::FleetShare;
use super::slots::{SlotCounts, SlotSeries};
use super::storm::{StormSigns, StormWatch};
use super::storm_record::{StormBook, StormEvent, StormLook, StormsSeen};
use super::verdict::{AdmissionVerdict, ParkVerdict, Reason, Refusal};

/// Agents that wait count as this many a second each: at less the last of them would wait for long.
const WAITING_PER_SECOND: f64 = 20.0;

/// For so long it is kept how many were admitted when: longer than most storms last.
const ADMITTED_KEPT: Duration = Duration::from_mins(5);
const ADMITTED_SLOTS: usize = (ADMITTED_KEPT.as_millis() / SlotSeries::SLOT.as_millis()) as usize;

/// One probe of the machine, [`AutomaticRate::INTERVAL`] after the last.
#[derive(Debug, Clone, Copy)]
pub struct ProbeTick {
    /// How long the probe had to wait for a processor.
    pub delay: Duration,
    /// What the node can bear now.
    pub capacity: Capacity,
}

/// The state of admission at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionStatus {
    /// Whether the rate follows the machine.
    pub automatic: bool,
    /// Entries a second now; in a fleet that shares its rate, this node's share.
    pub rate: NonZeroU32,
    /// Entries a second that reservations and the park reckon with.
    pub planned: NonZeroU32,
    /// Entries a second that the node could use.
    pub need: u32,
    /// Agents that wait: parked ones, and those that were told moments still to come.
    pub waiting: u64,
    /// Arrivals that are parked.
    pub parked: usize,
    /// How many arrivals the park holds at this rate.
    pub park_places: usize,
    /// Refusals that are held.
    pub held: usize,
    /// Agents that may be disconnected, of the whole fleet; empty: unknown.
    pub disconnected: Option<u64>,
    /// When the last of them will be admitted, from now, if the rate stays.
    pub last_in: Option<Duration>,
    /// Until then agents may be away because admission refused or parked them; empty: it did neither.
    pub expected_until: Option<Instant>,
}

/// See the module's text.
#[derive(Debug)]
pub struct NodeAdmission {
    admission: Admission,
    /// Empty: an operator has set the rate.
    automatic: Option<AutomaticRate>,
    /// What an operator has set: the rate of this node, or of the fleet that it shares it with.
    set: Option<NonZeroU32>,
    /// Whether a rate that is set is a fleet's.
    shares: bool,
    /// The last share of it; empty: unknown.
    share: Option<FleetShare>,
    /// Arrivals, whatever became of them.
    arrivals: SlotCounts,
    /// Those that have entered, for [`ADMITTED_KEPT`].
    admitted: SlotCounts,
    /// Agents that may be disconnected.
    disconnected: Option<u64>,
    /// The burst of a rate that an operator sets.
    burst: Duration,
    /// The last tick. While the rate is automatic, admission's time advances with the ticks, so that the
    /// machine is asked before each entry.
    ticked: Instant,
    /// An arrival has had to wait since the last tick.
    wanted: bool,
    storm: StormWatch,
    book: StormBook,
}

impl NodeAdmission {
    /// `rate`: what the operator sets, else the rate is automatic and begins at that of `params`.
    /// `fleet_size`: how many agents the operator expects; 0 leaves it open.
    pub fn new(
        params: AdmissionParams,
        rate: Option<NonZeroU32>,
        fleet_size: u64,
        now: Instant,
    ) -> Self {
        let automatic = rate.is_none().then(|| AutomaticRate::from_rate(params.rate));
        let begin = AdmissionParams {
            rate: rate.unwrap_or(params.rate),
            burst: if rate.is_some() { params.burst } else { AutomaticRate::BURST },
            ..params
        };
        Self {
            admission: Admission::new(begin, now),
            automatic,
            set: rate,
            shares: false,
            share: None,
            arrivals: SlotCounts::of_a_second(now),
            admitted: SlotCounts::new(ADMITTED_SLOTS, now),
            disconnected: None,
            burst: params.burst,
            ticked: now,
            wanted: false,
            storm: StormWatch::new(Fleet::new(fleet_size, now)),
            book: StormBook::new(now),
        }
    }

    /// Decides on an arrival. `chance` gives numbers in 0..1.
    pub fn arrive(
        &mut self,
        arrival: Arrival,
        capacity: Capacity,
        now: Instant,
        chance: &mut impl FnMut() -> f64,
    ) -> AdmissionVerdict {
        let now = if self.automatic.is_some() { self.ticked } else { now };
        self.admission.set_capacity(capacity);
        if !owes_no_entry(arrival) {
            self.arrivals.add(1.0, now);
            self.book.dialled();
        }
        let verdict = self.admission.arrive(arrival, now, chance);
        match &verdict {
            AdmissionVerdict::Admit => self.count_admitted(now),
            AdmissionVerdict::Pass(_) => {}
            AdmissionVerdict::Park { .. } if arrival.in_session => {}
            AdmissionVerdict::Park { .. } => self.wanted = true,
            // They owe no entry, and come again whatever the rate: no storm is seen in them.
            AdmissionVerdict::Refuse(_) if owes_no_entry(arrival) => {}
            AdmissionVerdict::Refuse(refusal) => self.count_refused(refusal, now),
        }
        verdict
    }

    /// An arrival that owed an entry was refused at once.
    fn count_refused(&mut self, refusal: &Refusal, now: Instant) {
        self.book.refused(refusal.hold + refusal.retry_after);
        if refusal.reason == Reason::NoRoom {
            // A higher rate would help none of them.
            self.storm.schedule(refusal, now);
        } else {
            self.wanted = true;
            self.storm.refused(refusal, now);
        }
    }

    /// An arrival was parked for this long.
    pub fn was_parked(&mut self, time: Duration) {
        self.book.parked(time);
    }

    /// The storm that is under way, and the last one that is over.
    pub fn storms(&self, now: Instant) -> StormsSeen {
        self.book.seen(now)
    }

    /// Whether the next tick will find something to do.
    pub fn has_work(&self) -> bool {
        self.wanted || self.admission.parked() > 0
    }

    /// Adjusts an automatic rate, then decides on parked arrivals, a bounded number: adds the verdicts to
    /// `decided`. `true`: more are due, call it again.
    pub fn tick(
        &mut self,
        tick: ProbeTick,
        now: Instant,
        chance: &mut impl FnMut() -> f64,
        decided: &mut Vec<(Ticket, ParkVerdict)>,
    ) -> bool {
        let passed = now.saturating_duration_since(self.ticked);
        self.ticked = now;
        self.admission.set_capacity(tick.capacity);
        let wanted = std::mem::take(&mut self.wanted) || self.admission.parked_for_entry() > 0;
        if wanted {
            self.storm.waited();
        }
        // What keeps them out without room is no lack of pace.
        let wanted = wanted && self.admission.has_room();
        if let Some(automatic) = &mut self.automatic {
            let seen = Observed { delay: tick.delay, wanted };
            self.admission.set_rate(automatic.observe(seen, passed), now);
        }
        self.admission.feel(tick.delay, passed, now);
        let before = decided.len();
        let next = self.admission.poll(now, chance, decided);
        for (_, verdict) in decided.iter().skip(before) {
            match verdict {
                ParkVerdict::Admit => self.count_admitted(now),
                ParkVerdict::Pass => {}
                ParkVerdict::Refuse(refusal) => {
                    self.book.refused(refusal.retry_after);
                    self.storm.schedule(refusal, now);
                }
            }
        }
        next.is_some_and(|next| next <= now)
    }

    fn count_admitted(&mut self, now: Instant) {
        self.storm.admitted();
        self.book.admitted();
        self.admitted.add(1.0, now);
    }

    /// How many were admitted in each slot of the last five minutes.
    pub fn admitted(&self, now: Instant) -> SlotSeries {
        self.admitted.series(now)
    }

    /// Takes note of how many agents are connected here, a few times a second. Says if a storm has begun or is over.
    pub fn observe(&mut self, connected: u64, now: Instant) -> Option<StormEvent> {
        let (elsewhere, waiting) =
            self.share.map_or((0, 0), |share| (share.connected, share.waiting));
        if waiting > 0 {
            self.storm.waits_elsewhere(now);
        }
        let signs = StormSigns {
            connected: connected + elsewhere,
            parked: self.admission.parked_for_entry() as u64,
            per_second: u64::from(self.admission.entry_rate().get()),
        };
        self.storm.observe(signs, now);
        let look = StormLook {
            crowded: self.storm.is_under_way(),
            dials: self.arrivals.sum(now),
            fleet: self.storm.fleet_size(),
        };
        let changed = self.book.observe(look, now);
        self.disconnected = self.storm.disconnected(signs);
        // All nodes together bring them in at the fleet's rate: of this node's part that is as long.
        let planned = u64::from(self.admission.rate().get());
        let part = |agents: u64| match self.share {
            Some(share) => (agents.saturating_mul(planned)).div_ceil(share.rate.max(1).into()),
            None => agents,
        };
        self.admission.set_backlog(self.disconnected.map(|agents| part(agents).max(signs.parked)));
        changed
    }

    /// Sets another rate; empty: automatic, from the present one on. In a fleet it is the rate of all nodes together.
    pub fn set_rate(&mut self, rate: Option<NonZeroU32>, now: Instant) {
        self.set = rate;
        match rate {
            Some(rate) => {
                // A set rate keeps its burst: emptying it would cost a second's worth of entries.
                if self.automatic.take().is_some() {
                    self.admission.set_burst(self.burst, now);
                }
                if self.shares {
                    // The share of it follows.
                    let before = self.share.map_or(0, |share| share.now);
                    self.admission.set_share(at_least_one(before.min(rate.get())), rate, now);
                } else {
                    self.admission.set_rate(rate, now);
                }
            }
            None if self.automatic.is_none() => {
                self.share = None;
                let from = self.admission.entry_rate();
                self.automatic = Some(AutomaticRate::from_rate(from));
                self.admission.set_rate(from, now);
                self.admission.set_burst(AutomaticRate::BURST, now);
            }
            None => {}
        }
    }

    /// From now on a rate that is set is that of a fleet: this node admits its share of it, once it knows that.
    pub fn join_fleet(&mut self, now: Instant) {
        self.shares = true;
        if self.set.is_some() {
            self.set_rate(self.set, now);
        }
    }

    /// What this node may take of the fleet's rate.
    pub fn set_share(&mut self, share: FleetShare, now: Instant) {
        if self.automatic.is_none() && self.shares {
            self.share = Some(share);
            self.admission.set_share(at_least_one(share.now), at_least_one(share.soon), now);
        }
    }

    /// The rate that an operator has set; empty: automatic.
    pub const fn rate_set(&self) -> Option<NonZeroU32> {
        self.set
    }

    /// Entries a second that the node could use: as many as have come in the last second, and all who wait at once.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    fn need(&self, now: Instant) -> u32 {
        if self.admission.is_closing() {
            return 0;
        }
        let at_once = self.admission.parked() as f64 * WAITING_PER_SECOND;
        (self.arrivals.sum(now) + at_once) as u32
    }

    /// The agent with this ticket has gone away. `false`: its place was free already.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        self.admission.leave(ticket)
    }

    /// A refusal with a hold has been sent, or its agent has gone away.
    pub fn hold_ended(&mut self) {
        self.admission.hold_ended();
    }

    /// Gives an entry back: its agent had gone before the verdict reached it.
    pub fn refund(&mut self, now: Instant) {
        self.admission.refund(now);
        self.admitted.add(-1.0, now);
    }

    /// Stops admitting: the node drains.
    pub const fn close(&mut self) {
        self.admission.close();
    }

    /// The state at this moment.
    pub fn status(&self, now: Instant) -> AdmissionStatus {
        let admission = &self.admission;
        AdmissionStatus {
            automatic: self.automatic.is_some(),
            rate: admission.entry_rate(),
            planned: admission.rate(),
            need: self.need(now),
            waiting: admission.waiting(now),
            parked: admission.parked(),
            park_places: admission.park_places(),
            held: admission.held(),
            disconnected: self.disconnected,
            last_in: admission.last_in(),
            expected_until: self.storm.expected_until(admission.line(), now),
        }
    }
}

/// Arrivals that are let in beside the rate, or refused beside it.
fn owes_no_entry(arrival: Arrival) -> bool {
    arrival.in_session || arrival.patience.queue == Queue::Untold
}

fn at_least_one(rate: u32) -> NonZeroU32 {
    NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TICK: Duration = AutomaticRate::INTERVAL;

    fn rate(per_second: u32) -> NonZeroU32 {
        NonZeroU32::new(per_second).unwrap()
    }

    /// A node, a clock and a lot that is always the middle.
    struct NodeBench {
        admission: NodeAdmission,
        now: Instant,
    }

    impl NodeBench {
        fn new(set: Option<u32>) -> Self {
            let now = crate::clock::now();
            let params = AdmissionParams::new(rate(1_000));
            Self { admission: NodeAdmission::new(params, set.map(rate), 0, now), now }
        }

        fn arrive(&mut self) -> AdmissionVerdict {
            self.admission.arrive(Arrival::default(), Capacity::AMPLE, self.now, &mut || 0.5)
        }

        /// Lets time pass to the next tick; says how many parked arrivals were admitted.
        fn tick(&mut self, delay: Duration) -> usize {
            self.now += TICK;
            let tick = ProbeTick { delay, capacity: Capacity::AMPLE };
            let mut decided = Vec::new();
            while self.admission.tick(tick, self.now, &mut || 0.5, &mut decided) {}
            decided.iter().filter(|(_, verdict)| *verdict == ParkVerdict::Admit).count()
        }
    }

    #[test]
    fn an_automatic_rate_admits_only_what_a_tick_hands_out() {
        let mut node = NodeBench::new(None);
        let at_once = (0..100).filter(|_| node.arrive() == AdmissionVerdict::Admit).count();
        assert_eq!(at_once, 20, "two ticks' worth is saved up");
        node.now += SECOND * 5;
        assert!(matches!(node.arrive(), AdmissionVerdict::Park { .. }), "time waits for the tick");
        assert!((1..=20).contains(&node.tick(Duration::ZERO)));
    }

    #[test]
    fn a_set_rate_goes_by_the_clock() {
        let mut node = NodeBench::new(Some(1));
        assert_eq!(node.arrive(), AdmissionVerdict::Admit);
        assert!(matches!(node.arrive(), AdmissionVerdict::Park { .. }));
        let admitted: usize = (0..110).map(|_| node.tick(SECOND)).sum();
        assert_eq!((admitted, node.admission.status(node.now).rate), (1, rate(1)));
    }

    #[test]
    fn an_automatic_rate_rises_while_arrivals_wait_and_falls_with_the_delay() {
        let mut node = NodeBench::new(None);
        let mut after = |delay| {
            (0..200).for_each(|_| _ = node.arrive());
            node.tick(delay);
            node.admission.status(node.now).rate.get()
        };
        let first = after(Duration::ZERO);
        assert!(first > 1_000);
        assert!(after(TICK * 4) < first);
    }

    #[test]
    fn a_rate_can_be_set_and_left_to_the_machine_again() {
        let mut node = NodeBench::new(None);
        node.admission.set_rate(Some(rate(5)), node.now);
        let status = node.admission.status(node.now);
        assert_eq!((status.automatic, status.rate, status.park_places), (false, rate(5), 100));
        node.now += SECOND * 9;
        let at_once = (0..100).filter(|_| node.arrive() == AdmissionVerdict::Admit).count();
        assert_eq!(at_once, 5, "a second's burst of the set rate");
        node.admission.set_rate(None, node.now);
        node.tick(Duration::ZERO);
        let status = node.admission.status(node.now);
        assert!(status.automatic && status.rate >= rate(100), "the least that is automatic");
    }

    #[test]
    fn a_storm_is_told_of_once_and_its_absences_are_expected() {
        let mut node = NodeBench::new(Some(10));
        node.now += SECOND * 3;
        assert_eq!(node.admission.observe(500, node.now), None);
        let refused = loop {
            if let AdmissionVerdict::Refuse(refusal) = node.arrive() {
                break refusal;
            }
        };
        node.tick(Duration::ZERO);
        assert_eq!(node.admission.observe(500, node.now), Some(StormEvent::Begun));
        node.tick(Duration::ZERO);
        assert_eq!(node.admission.observe(500, node.now), None, "once");
        let status = node.admission.status(node.now);
        assert_eq!(status.disconnected, Some(490), "ten were admitted, whatever looks connected");
        assert_eq!(status.last_in, Some(SECOND * 49));
        let told = node.now - TICK * 2 + refused.hold + refused.retry_after;
        assert!(status.expected_until.is_some_and(|until| until > told), "{status:?}");
    }

    #[test]
    fn an_automatic_rate_stays_while_only_room_is_lacking() {
        let mut node = NodeBench::new(None);
        let full = Capacity { free: 9, reserve: 10, sessions_full: false };
        let mut longest = Duration::ZERO;
        for _ in 0..3_000 {
            let verdict = node.admission.arrive(Arrival::default(), full, node.now, &mut || 0.5);
            let AdmissionVerdict::Refuse(refusal) = verdict else { panic!("{verdict:?}") };
            assert_eq!(refusal.reason, Reason::NoRoom);
            longest = longest.max(refusal.hold + refusal.retry_after);
            node.now += TICK;
            let tick = ProbeTick { delay: Duration::ZERO, capacity: full };
            node.admission.tick(tick, node.now, &mut || 0.5, &mut Vec::new());
        }
        assert_eq!(node.admission.status(node.now).rate, rate(1_000));
        assert!(longest > SECOND * 12, "{longest:?} after half a minute without room");
        let record = node.admission.observe(0, node.now);
        assert_eq!(record, Some(StormEvent::Begun), "a hundred dials a second are one");
    }

    #[test]
    fn a_node_that_drains_sends_parked_arrivals_away() {
        let mut node = NodeBench::new(Some(1));
        node.arrive();
        assert!(matches!(node.arrive(), AdmissionVerdict::Park { .. }));
        node.admission.close();
        assert_eq!(node.tick(Duration::ZERO), 0);
        assert_eq!(node.admission.status(node.now).parked, 0);
    }
}
