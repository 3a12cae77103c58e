//! Admission case by case, and a fleet that obeys it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::{
    Admission, AdmissionParams, AdmissionVerdict, Arrival, Capacity, Identity, Outcome,
    ParkVerdict, Reason, Refusal, Ticket,
};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn per_second(rate: u32) -> NonZeroU32 {
    NonZeroU32::new(rate).unwrap()
}

/// Ten entries a second; the park holds two seconds' worth.
fn small() -> AdmissionParams {
    AdmissionParams {
        park_horizon: SECOND * 2,
        reserve_percent: 25,
        held_max: 3,
        ..AdmissionParams::new(per_second(10))
    }
}

struct AdmissionBench {
    admission: Admission,
    now: Instant,
}

impl AdmissionBench {
    fn new(params: AdmissionParams) -> Self {
        let now = crate::clock::now();
        Self { admission: Admission::new(params, now), now }
    }

    /// One with an empty bucket and a full park.
    fn full(params: AdmissionParams) -> Self {
        let mut bench = Self::new(params);
        while !matches!(bench.arrive(Arrival::default()), AdmissionVerdict::Refuse(_)) {}
        bench
    }

    fn arrive(&mut self, arrival: Arrival) -> AdmissionVerdict {
        self.admission.arrive(arrival, self.now, &mut || 0.5)
    }

    fn park(&mut self, arrival: Arrival) -> Ticket {
        let verdict = self.arrive(arrival);
        let AdmissionVerdict::Park { ticket, .. } = verdict else { panic!("{verdict:?}") };
        ticket
    }

    fn refuse(&mut self, arrival: Arrival) -> Refusal {
        let verdict = self.arrive(arrival);
        let AdmissionVerdict::Refuse(refusal) = verdict else { panic!("{verdict:?}") };
        refusal
    }

    fn poll(&mut self) -> (Vec<(Ticket, ParkVerdict)>, Option<Duration>) {
        let mut decided = Vec::new();
        let next = self.admission.poll(self.now, &mut || 0.5, &mut decided);
        (decided, next.map(|at| at - self.now))
    }
}

fn wait(refusal: Refusal) -> Duration {
    refusal.hold + refusal.retry_after
}

/// An arrival whose source is over its share.
fn over_share() -> Arrival {
    Arrival { over_share: true, ..Arrival::default() }
}

fn who(identity: u64) -> Arrival {
    Arrival { identity: Some(Identity::new(identity)), ..Arrival::default() }
}

/// Refusals need connections too: they tell agents when to come again.
#[test]
fn the_last_capacity_is_reserved_for_refusals() {
    let mut bench = AdmissionBench::new(small());
    let left = |free| Capacity { free, reserve: 4, sessions_full: false };
    bench.admission.set_capacity(left(4));
    assert_eq!(bench.arrive(Arrival::default()), AdmissionVerdict::Admit);
    let mut refused = |free| -> Vec<Refusal> {
        bench.admission.set_capacity(left(free));
        (0..40).map(|_| bench.refuse(Arrival::default())).collect()
    };
    let (some_room, hardly_any) = (refused(3), refused(1));
    assert!(some_room.iter().any(|refusal| !refusal.hold.is_zero()), "{some_room:?}");
    assert!(hardly_any.iter().all(|refusal| refusal.hold.is_zero()), "{hardly_any:?}");
    assert!(hardly_any.iter().all(|refusal| refusal.reason == Reason::NoRoom));
    // Parked arrivals have their connections already.
    bench.admission.set_capacity(left(20));
    while bench.admission.parked() < 3 {
        bench.arrive(Arrival::default());
    }
    bench.admission.set_capacity(left(0));
    bench.now += SECOND;
    assert_eq!(bench.poll().0.len(), 3);
}

/// An agent that has a session takes no new place.
#[test]
fn a_full_table_of_sessions_admits_the_agents_that_it_has() {
    let known = Arrival { needs_no_place: true, ..Arrival::default() };
    let mut bench = AdmissionBench::new(small());
    bench.admission.set_capacity(Capacity { sessions_full: true, ..Capacity::AMPLE });
    assert_eq!(bench.refuse(Arrival::default()).reason, Reason::NoRoom);
    while bench.admission.parked() == 0 {
        bench.arrive(known);
    }
    bench.admission.set_capacity(Capacity::AMPLE);
    bench.arrive(Arrival::default());
    bench.arrive(known);
    bench.admission.set_capacity(Capacity { sessions_full: true, ..Capacity::AMPLE });
    bench.now += SECOND;
    let admitted = bench.poll().0.into_iter().map(|(_, verdict)| verdict == ParkVerdict::Admit);
    assert_eq!(admitted.collect::<Vec<_>>(), [true, false, true]);
    bench.admission.set_capacity(Capacity { free: 3, reserve: 4, sessions_full: false });
    assert_eq!(bench.refuse(known).reason, Reason::NoRoom, "connections are scarce for each");
}

#[test]
fn a_full_table_of_sessions_refuses_every_newcomer() {
    let mut bench = AdmissionBench::full(small());
    bench.admission.set_capacity(Capacity { sessions_full: true, ..Capacity::AMPLE });
    assert_eq!(bench.refuse(Arrival::default()).reason, Reason::NoRoom);
    let (decided, _) = bench.poll();
    let away = |verdict: &ParkVerdict| matches!(verdict, ParkVerdict::Refuse(r) if r.reason == Reason::NoRoom);
    assert!(decided.len() == 20 && decided.iter().all(|(_, verdict)| away(verdict)), "{decided:?}");
}

#[test]
fn a_burst_is_admitted_then_arrivals_are_parked_then_reservations_are_given() {
    let mut bench = AdmissionBench::new(small());
    for _ in 0..10 {
        assert_eq!(bench.arrive(Arrival::default()), AdmissionVerdict::Admit);
    }
    let until = bench.now + SECOND * 30;
    for _ in 0..20 {
        let verdict = bench.arrive(Arrival::default());
        assert!(
            matches!(verdict, AdmissionVerdict::Park { until: at, .. } if at == until),
            "{verdict:?}"
        );
    }
    assert_eq!(bench.admission.parked(), 20);
    let refused: Vec<Refusal> = (0..23).map(|_| bench.refuse(Arrival::default())).collect();
    assert!(refused.iter().all(|refusal| refusal.reason == Reason::ParkFull));
    let waits: Vec<u64> = refused.iter().map(|refusal| wait(*refusal).as_secs()).collect();
    // From when the line is admitted, eleven or twelve a second.
    assert!(waits[..5].iter().all(|wait| *wait == 2), "{waits:?}");
    assert!(waits[18..].iter().all(|wait| *wait == 4), "{waits:?}");
}

#[test]
fn parked_arrivals_are_admitted_in_order_as_tokens_come() {
    let mut bench = AdmissionBench::new(small());
    (0..10).for_each(|_| assert_eq!(bench.arrive(Arrival::default()), AdmissionVerdict::Admit));
    let tickets: Vec<Ticket> = (0..5).map(|_| bench.park(Arrival::default())).collect();
    let (decided, next) = bench.poll();
    assert!(decided.is_empty());
    bench.now += next.unwrap();
    assert_eq!(bench.poll().0, [(tickets[0], ParkVerdict::Admit)]);
    assert!(bench.admission.leave(tickets[2]));
    assert!(!bench.admission.leave(tickets[2]) && !bench.admission.leave(tickets[0]));
    bench.now += SECOND;
    let rest = [tickets[1], tickets[3], tickets[4]].map(|ticket| (ticket, ParkVerdict::Admit));
    assert_eq!(bench.poll(), (rest.to_vec(), None));
    // The line is empty, so a new arrival may have the token that is left.
    assert_eq!(bench.arrive(Arrival::default()), AdmissionVerdict::Admit);
}

#[test]
fn an_arrival_parked_for_too_long_gets_a_reservation_at_once() {
    let mut bench = AdmissionBench::full(AdmissionParams { park_ttl: SECOND, ..small() });
    bench.admission.set_rate(per_second(1), bench.now);
    bench.now += SECOND;
    let (decided, _) = bench.poll();
    assert_eq!(
        (decided.len(), decided[0].1),
        (20, ParkVerdict::Admit),
        "a token goes before a refusal"
    );
    for (_, verdict) in &decided[1..] {
        let ParkVerdict::Refuse(refusal) = verdict else { panic!("{verdict:?}") };
        assert_eq!((refusal.reason, refusal.hold), (Reason::ParkTtl, Duration::ZERO));
        assert!(refusal.retry_after >= SECOND);
    }
}

#[test]
fn a_call_decides_on_a_bounded_number() {
    let mut bench = AdmissionBench::new(AdmissionParams::new(per_second(1_000)));
    (0..1_500).for_each(|_| _ = bench.arrive(Arrival::default()));
    bench.now += SECOND;
    let (decided, next) = bench.poll();
    assert_eq!((decided.len(), next), (256, Some(Duration::ZERO)));
    assert_eq!(bench.poll().0.len(), 244);
}

#[test]
fn the_last_part_of_the_park_is_closed_to_sources_over_their_share() {
    let mut bench = AdmissionBench::new(small());
    (0..10).for_each(|_| assert_eq!(bench.arrive(over_share()), AdmissionVerdict::Admit));
    let tickets: Vec<Ticket> = (0..15).map(|_| bench.park(over_share())).collect();
    assert_eq!(bench.refuse(over_share()).reason, Reason::SourceShare);
    assert!(bench.admission.leave(tickets[1]));
    bench.park(Arrival::default());
    assert_eq!(bench.refuse(over_share()).reason, Reason::SourceShare);
    (0..5).for_each(|_| _ = bench.park(Arrival::default()));
    assert_eq!(bench.refuse(Arrival::default()).reason, Reason::ParkFull);
}

#[test]
fn a_fixed_wait_is_told_to_all() {
    let mut bench = AdmissionBench::full(AdmissionParams { retry_fixed: SECOND * 30, ..small() });
    for _ in 0..100 {
        let refusal = bench.refuse(Arrival::default());
        assert_eq!((refusal.hold, refusal.retry_after), (Duration::ZERO, SECOND * 30));
    }
}

#[test]
fn the_park_has_no_more_places_than_the_node_has_connections() {
    let mut bench = AdmissionBench::full(AdmissionParams { park_max: 5, ..small() });
    assert_eq!((bench.admission.park_places(), bench.admission.parked()), (5, 5));
    assert_eq!(bench.refuse(Arrival::default()).reason, Reason::ParkFull);
}

#[test]
fn a_node_that_closes_sends_every_arrival_away() {
    let mut bench = AdmissionBench::full(small());
    bench.admission.close();
    let refusal = bench.refuse(Arrival::default());
    assert_eq!((refusal.reason, refusal.hold), (Reason::Closing, Duration::ZERO));
    assert!((SECOND..=SECOND * 4).contains(&refusal.retry_after));
    let (decided, next) = bench.poll();
    assert_eq!((decided.len(), next, bench.admission.parked()), (20, None, 0));
    let sent_away = Outcome::Refused(Reason::Closing);
    assert!(decided.iter().all(|(_, verdict)| verdict.outcome() == sent_away));
}

#[test]
fn a_new_burst_begins_empty() {
    let mut bench = AdmissionBench::new(small());
    bench.admission.set_burst(SECOND / 2, bench.now);
    let early = bench.park(Arrival::default());
    bench.now += SECOND * 3;
    (0..9).for_each(|_| _ = bench.park(Arrival::default()));
    let (decided, _) = bench.poll();
    assert_eq!((decided.len(), decided[0].0), (5, early));
}

#[test]
fn refusals_are_held_up_to_a_number() {
    let mut bench = AdmissionBench::full(small());
    (0..200).for_each(|_| _ = bench.refuse(Arrival::default()));
    assert_eq!(bench.admission.held(), 3);
    assert_eq!(bench.refuse(Arrival::default()).hold, Duration::ZERO);
    bench.admission.hold_ended();
    let refusal = bench.refuse(Arrival::default());
    assert_eq!(refusal.hold, SECOND * 10);
    assert!(wait(refusal) > SECOND * 15, "what is held counts as waited: {refusal:?}");
}

#[test]
fn a_recognised_agent_keeps_its_reservation() {
    let mut bench = AdmissionBench::full(AdmissionParams { held_max: 0, ..small() });
    (0..100).for_each(|_| _ = bench.refuse(Arrival::default()));
    let first = bench.refuse(who(1));
    assert_eq!(first.reason, Reason::ParkFull);
    bench.now += SECOND;
    for _ in 0..100 {
        let again = bench.refuse(who(1));
        assert_eq!(again.reason, Reason::BeforeItsTime);
        let (left, told) = (again.retry_after + SECOND, first.retry_after);
        assert!(left.abs_diff(told) <= SECOND, "{left:?}, {told:?}");
    }
    assert_eq!(bench.admission.reservations(), 1);
    // Other agents are as near as before.
    let other = bench.refuse(who(2));
    assert!(other.retry_after <= first.retry_after, "{other:?}");
}

#[test]
fn a_reservation_that_is_too_far_away_by_now_is_replaced() {
    let mut bench = AdmissionBench::full(small());
    (0..1_000).for_each(|_| _ = bench.refuse(who(1)));
    (0..1_000).for_each(|_| _ = bench.refuse(Arrival::default()));
    let far = bench.refuse(who(2));
    assert!(wait(far) > SECOND * 60, "{far:?}");
    bench.admission.set_rate(per_second(1_000), bench.now);
    bench.admission.set_backlog(Some(0));
    bench.now += SECOND * 5;
    let near = AdmissionBench { admission: bench.admission, now: bench.now };
    let mut bench = near;
    while let Some(Duration::ZERO) = bench.poll().1 {}
    while !matches!(bench.arrive(Arrival::default()), AdmissionVerdict::Refuse(_)) {}
    let near = bench.refuse(who(2));
    assert!(wait(near) <= SECOND * 6, "{near:?}");
}

#[test]
fn a_rate_that_collapses_tells_only_waits_that_the_line_explains() {
    let mut bench = AdmissionBench::full(AdmissionParams { park_horizon: SECOND * 60, ..small() });
    bench.admission.set_rate(per_second(1), bench.now);
    let refusal = bench.refuse(Arrival::default());
    assert!(wait(refusal) <= SECOND * 60, "{refusal:?}: parked arrivals leave after 30 s");
}

#[test]
fn tells_when_the_last_agent_will_be_admitted() {
    let mut bench = AdmissionBench::full(small());
    assert_eq!(bench.admission.last_in(), None);
    bench.admission.set_backlog(Some(600));
    assert_eq!(bench.admission.last_in(), Some(SECOND * 60));
    bench.admission.set_rate(per_second(20), bench.now);
    assert_eq!(bench.admission.last_in(), Some(SECOND * 30));
    bench.admission.set_backlog(Some(0));
    assert_eq!(bench.admission.last_in(), Some(SECOND), "twenty are parked");
}

#[test]
fn an_expected_recovery_brings_reservations_nearer() {
    let last = |expected: Option<u32>| {
        let mut bench = AdmissionBench::full(AdmissionParams { held_max: 0, ..small() });
        bench.admission.expect_rate(expected.map(per_second));
        (0..1_000).map(|_| bench.refuse(Arrival::default()).retry_after).max().unwrap()
    };
    assert!(last(None) > SECOND * 85);
    assert!(last(Some(1)) > SECOND * 85, "less than the rate");
    assert!(last(Some(100)) < SECOND * 12);
}

#[test]
fn a_backlog_of_zero_still_spreads_reservations() {
    let mut bench = AdmissionBench::full(AdmissionParams { held_max: 0, ..small() });
    bench.admission.set_backlog(Some(0));
    let waits: Vec<u64> =
        (0..1_000).map(|_| bench.refuse(Arrival::default()).retry_after.as_secs()).collect();
    for second in 3..60 {
        let count = waits.iter().filter(|wait| **wait == second).count();
        assert!((8..=15).contains(&count), "{count} in second {second}");
    }
}

#[test]
fn every_outcome_has_a_label_of_its_own() {
    let labels: std::collections::BTreeSet<_> = Outcome::ALL.map(Outcome::label).into();
    assert_eq!(labels.len(), Outcome::ALL.len());
}

/// Agents that obey, some of them slow or quick by a tenth: all are admitted in about the ideal time.
#[test]
fn every_obedient_agent_is_admitted() {
    let agents = 3_000_u32;
    let params = AdmissionParams { held_max: 0, ..AdmissionParams::new(per_second(50)) };
    let mut bench = AdmissionBench::new(params);
    let start = bench.now;
    let clock = |agent: u32| 0.9 + 0.2 * f64::from(agent % 97) / 96.0;
    let mut dials: BinaryHeap<_> = (0..agents)
        .map(|agent| Reverse((start + SECOND / agents * (agent * 7 % agents), agent)))
        .collect();
    let mut parked = std::collections::HashMap::new();
    let (mut serving, mut attempts) = (0, 0);
    while serving < agents {
        bench.now += SECOND / 100;
        bench.admission.set_backlog(Some(u64::from(agents - serving)));
        for (ticket, verdict) in bench.poll().0 {
            let agent = parked.remove(&ticket).unwrap();
            match verdict {
                ParkVerdict::Admit | ParkVerdict::Pass => serving += 1,
                ParkVerdict::Refuse(refusal) => {
                    dials.push(Reverse((
                        bench.now + refusal.retry_after.mul_f64(clock(agent)),
                        agent,
                    )));
                }
            }
        }
        while let Some(Reverse((at, agent))) = dials.peek().copied().filter(|d| d.0.0 <= bench.now)
        {
            dials.pop();
            attempts += 1;
            match bench.arrive(Arrival::default()) {
                AdmissionVerdict::Admit | AdmissionVerdict::Pass(_) => serving += 1,
                AdmissionVerdict::Park { ticket, .. } => _ = parked.insert(ticket, agent),
                AdmissionVerdict::Refuse(refusal) => {
                    dials.push(Reverse((at + refusal.retry_after.mul_f64(clock(agent)), agent)));
                }
            }
        }
        assert!(bench.now < start + SECOND * 66, "{serving} of {agents} are admitted");
    }
    let attempts = f64::from(attempts) / f64::from(agents);
    assert!(attempts <= 2.1, "{attempts}");
}
