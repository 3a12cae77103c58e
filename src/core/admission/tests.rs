//! The gate case by case, and a fleet that obeys it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::{
    Admission, AdmissionParams, Arrival, Identity, Outcome, Reason, Refusal, Room, Ticket, Turn,
    Verdict,
};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn per_second(rate: u32) -> NonZeroU32 {
    NonZeroU32::new(rate).unwrap()
}

/// Ten a second, and two seconds' worth are parked.
fn small() -> AdmissionParams {
    AdmissionParams {
        park_horizon: SECOND * 2,
        reserve_percent: 25,
        held_max: 3,
        ..AdmissionParams::new(per_second(10))
    }
}

struct Gate {
    admission: Admission,
    now: Instant,
}

impl Gate {
    fn new(params: AdmissionParams) -> Self {
        let now = crate::clock::now();
        Self { admission: Admission::new(params, now), now }
    }

    /// One with the bucket empty and the park full.
    fn full(params: AdmissionParams) -> Self {
        let mut gate = Self::new(params);
        while !matches!(gate.arrive(Arrival::default()), Verdict::Refuse(_)) {}
        gate
    }

    fn arrive(&mut self, arrival: Arrival) -> Verdict {
        self.admission.arrive(arrival, self.now, &mut || 0.5)
    }

    fn park(&mut self, arrival: Arrival) -> Ticket {
        let verdict = self.arrive(arrival);
        let Verdict::Park { ticket, .. } = verdict else { panic!("{verdict:?}") };
        ticket
    }

    fn refuse(&mut self, arrival: Arrival) -> Refusal {
        let verdict = self.arrive(arrival);
        let Verdict::Refuse(refusal) = verdict else { panic!("{verdict:?}") };
        refusal
    }

    fn poll(&mut self) -> (Vec<(Ticket, Turn)>, Option<Duration>) {
        let mut turns = Vec::new();
        let next = self.admission.poll(self.now, &mut || 0.5, &mut turns);
        (turns, next.map(|at| at - self.now))
    }
}

fn wait(refusal: Refusal) -> Duration {
    refusal.hold + refusal.retry_after
}

/// Somebody of whose source too many come.
const ONE_OF_TOO_MANY: Arrival = Arrival { over_share: true, identity: None };

fn who(identity: u64) -> Arrival {
    Arrival { over_share: false, identity: Some(Identity::new(identity)) }
}

/// The last connections there are room for tell those who come when to come again.
#[test]
fn what_room_is_left_is_for_refusals() {
    let mut gate = Gate::new(small());
    let room = |free| Room { free, reserve: 4, taken: false };
    gate.admission.set_room(room(4));
    assert_eq!(gate.arrive(Arrival::default()), Verdict::Admit);
    let mut refused = |free| -> Vec<Refusal> {
        gate.admission.set_room(room(free));
        (0..40).map(|_| gate.refuse(Arrival::default())).collect()
    };
    let (some_room, hardly_any) = (refused(3), refused(1));
    assert!(some_room.iter().any(|refusal| !refusal.hold.is_zero()), "{some_room:?}");
    assert!(hardly_any.iter().all(|refusal| refusal.hold.is_zero()), "{hardly_any:?}");
    assert!(hardly_any.iter().all(|refusal| refusal.reason == Reason::NoRoom));
    // Those who wait have their connections already.
    gate.admission.set_room(room(20));
    while gate.admission.parked() < 3 {
        gate.arrive(Arrival::default());
    }
    gate.admission.set_room(room(0));
    gate.now += SECOND;
    assert_eq!(gate.poll().0.len(), 3);
}

#[test]
fn where_no_agent_can_be_taken_nobody_is_let_in() {
    let mut gate = Gate::full(small());
    gate.admission.set_room(Room { taken: true, ..Room::PLENTY });
    assert_eq!(gate.refuse(Arrival::default()).reason, Reason::NoRoom);
    let (turns, _) = gate.poll();
    let away = |turn: &Turn| matches!(turn, Turn::Refuse(r) if r.reason == Reason::NoRoom);
    assert!(turns.len() == 20 && turns.iter().all(|(_, turn)| away(turn)), "{turns:?}");
}

#[test]
fn a_burst_goes_in_then_a_line_forms_then_slots_are_given() {
    let mut gate = Gate::new(small());
    for _ in 0..10 {
        assert_eq!(gate.arrive(Arrival::default()), Verdict::Admit);
    }
    let until = gate.now + SECOND * 30;
    for _ in 0..20 {
        let verdict = gate.arrive(Arrival::default());
        assert!(matches!(verdict, Verdict::Park { until: at, .. } if at == until), "{verdict:?}");
    }
    assert_eq!(gate.admission.parked(), 20);
    let refused: Vec<Refusal> = (0..23).map(|_| gate.refuse(Arrival::default())).collect();
    assert!(refused.iter().all(|refusal| refusal.reason == Reason::ParkFull));
    let waits: Vec<u64> = refused.iter().map(|refusal| wait(*refusal).as_secs()).collect();
    // From when the line is in, eleven or twelve a second.
    assert!(waits[..5].iter().all(|wait| *wait == 2), "{waits:?}");
    assert!(waits[18..].iter().all(|wait| *wait == 4), "{waits:?}");
}

#[test]
fn turns_are_given_in_order_as_tokens_come() {
    let mut gate = Gate::new(small());
    (0..10).for_each(|_| assert_eq!(gate.arrive(Arrival::default()), Verdict::Admit));
    let tickets: Vec<Ticket> = (0..5).map(|_| gate.park(Arrival::default())).collect();
    let (turns, next) = gate.poll();
    assert!(turns.is_empty());
    gate.now += next.unwrap();
    assert_eq!(gate.poll().0, [(tickets[0], Turn::Admit)]);
    assert!(gate.admission.leave(tickets[2]));
    assert!(!gate.admission.leave(tickets[2]) && !gate.admission.leave(tickets[0]));
    gate.now += SECOND;
    let rest = [tickets[1], tickets[3], tickets[4]].map(|ticket| (ticket, Turn::Admit));
    assert_eq!(gate.poll(), (rest.to_vec(), None));
    // The token that is left goes to nobody who passes the line.
    assert_eq!(gate.arrive(Arrival::default()), Verdict::Admit);
}

#[test]
fn whoever_waited_too_long_gets_a_slot_and_is_not_held() {
    let mut gate = Gate::full(AdmissionParams { park_ttl: SECOND, ..small() });
    gate.admission.set_rate(per_second(1), gate.now);
    gate.now += SECOND;
    let (turns, _) = gate.poll();
    assert_eq!((turns.len(), turns[0].1), (20, Turn::Admit), "a token goes before a refusal");
    for (_, turn) in &turns[1..] {
        let Turn::Refuse(refusal) = turn else { panic!("{turn:?}") };
        assert_eq!((refusal.reason, refusal.hold), (Reason::ParkTtl, Duration::ZERO));
        assert!(refusal.retry_after >= SECOND);
    }
}

#[test]
fn a_call_gives_a_bounded_number_of_turns() {
    let mut gate = Gate::new(AdmissionParams::new(per_second(1_000)));
    (0..1_500).for_each(|_| _ = gate.arrive(Arrival::default()));
    gate.now += SECOND;
    let (turns, next) = gate.poll();
    assert_eq!((turns.len(), next), (256, Some(Duration::ZERO)));
    assert_eq!(gate.poll().0.len(), 244);
}

#[test]
fn the_last_part_of_the_park_is_not_for_those_over_their_share() {
    let mut gate = Gate::new(small());
    (0..10).for_each(|_| assert_eq!(gate.arrive(ONE_OF_TOO_MANY), Verdict::Admit));
    let tickets: Vec<Ticket> = (0..15).map(|_| gate.park(ONE_OF_TOO_MANY)).collect();
    assert_eq!(gate.refuse(ONE_OF_TOO_MANY).reason, Reason::SourceShare);
    assert!(gate.admission.leave(tickets[1]));
    gate.park(Arrival::default());
    assert_eq!(gate.refuse(ONE_OF_TOO_MANY).reason, Reason::SourceShare);
    (0..5).for_each(|_| _ = gate.park(Arrival::default()));
    assert_eq!(gate.refuse(Arrival::default()).reason, Reason::ParkFull);
}

#[test]
fn all_are_told_the_same_if_that_is_wanted() {
    let mut gate = Gate::full(AdmissionParams { retry_fixed: SECOND * 30, ..small() });
    for _ in 0..100 {
        let refusal = gate.refuse(Arrival::default());
        assert_eq!((refusal.hold, refusal.retry_after), (Duration::ZERO, SECOND * 30));
    }
}

#[test]
fn a_gate_that_closes_sends_everybody_away() {
    let mut gate = Gate::full(small());
    gate.admission.close();
    let refusal = gate.refuse(Arrival::default());
    assert_eq!((refusal.reason, refusal.hold), (Reason::Closing, Duration::ZERO));
    assert!((SECOND..=SECOND * 4).contains(&refusal.retry_after));
    let (turns, next) = gate.poll();
    assert_eq!((turns.len(), next, gate.admission.parked()), (20, None, 0));
    let sent_away = Outcome::Refused(Reason::Closing);
    assert!(turns.iter().all(|(_, turn)| turn.outcome() == sent_away));
}

#[test]
fn another_burst_is_empty_at_first() {
    let mut gate = Gate::new(small());
    gate.admission.set_burst(SECOND / 2, gate.now);
    let early = gate.park(Arrival::default());
    gate.now += SECOND * 3;
    (0..9).for_each(|_| _ = gate.park(Arrival::default()));
    let (turns, _) = gate.poll();
    assert_eq!((turns.len(), turns[0].0), (5, early));
}

#[test]
fn refusals_are_held_up_to_a_number() {
    let mut gate = Gate::full(small());
    (0..200).for_each(|_| _ = gate.refuse(Arrival::default()));
    assert_eq!(gate.admission.held(), 3);
    assert_eq!(gate.refuse(Arrival::default()).hold, Duration::ZERO);
    gate.admission.hold_ended();
    let refusal = gate.refuse(Arrival::default());
    assert_eq!(refusal.hold, SECOND * 10);
    assert!(wait(refusal) > SECOND * 15, "what is held counts as waited: {refusal:?}");
}

#[test]
fn whoever_can_be_recognised_keeps_its_slot() {
    let mut gate = Gate::full(AdmissionParams { held_max: 0, ..small() });
    (0..100).for_each(|_| _ = gate.refuse(Arrival::default()));
    let first = gate.refuse(who(1));
    assert_eq!(first.reason, Reason::ParkFull);
    gate.now += SECOND;
    for _ in 0..100 {
        let again = gate.refuse(who(1));
        assert_eq!(again.reason, Reason::BeforeItsTime);
        let (left, slot) = (again.retry_after + SECOND, first.retry_after);
        assert!(left.abs_diff(slot) <= SECOND, "{left:?}, {slot:?}");
    }
    assert_eq!(gate.admission.kept(), 1);
    // Nobody else was driven away by that.
    let other = gate.refuse(who(2));
    assert!(other.retry_after <= first.retry_after, "{other:?}");
}

#[test]
fn a_kept_slot_that_is_too_far_away_by_now_is_replaced() {
    let mut gate = Gate::full(small());
    (0..1_000).for_each(|_| _ = gate.refuse(who(1)));
    (0..1_000).for_each(|_| _ = gate.refuse(Arrival::default()));
    let far = gate.refuse(who(2));
    assert!(wait(far) > SECOND * 60, "{far:?}");
    gate.admission.set_rate(per_second(1_000), gate.now);
    gate.admission.set_backlog(Some(0));
    gate.now += SECOND * 5;
    let near = Gate { admission: gate.admission, now: gate.now };
    let mut gate = near;
    while let Some(Duration::ZERO) = gate.poll().1 {}
    while !matches!(gate.arrive(Arrival::default()), Verdict::Refuse(_)) {}
    let near = gate.refuse(who(2));
    assert!(wait(near) <= SECOND * 6, "{near:?}");
}

#[test]
fn a_rate_that_collapses_sends_nobody_away_for_hours() {
    let mut gate = Gate::full(AdmissionParams { park_horizon: SECOND * 60, ..small() });
    gate.admission.set_rate(per_second(1), gate.now);
    let refusal = gate.refuse(Arrival::default());
    assert!(wait(refusal) <= SECOND * 60, "{refusal:?}: those who are parked leave after 30 s");
}

#[test]
fn says_when_the_last_will_be_in() {
    let mut gate = Gate::full(small());
    assert_eq!(gate.admission.last_in(), None);
    gate.admission.set_backlog(Some(600));
    assert_eq!(gate.admission.last_in(), Some(SECOND * 60));
    gate.admission.set_rate(per_second(20), gate.now);
    assert_eq!(gate.admission.last_in(), Some(SECOND * 30));
    gate.admission.set_backlog(Some(0));
    assert_eq!(gate.admission.last_in(), Some(SECOND), "twenty are parked");
}

#[test]
fn an_expected_recovery_brings_slots_nearer() {
    let last = |expected: Option<u32>| {
        let mut gate = Gate::full(AdmissionParams { held_max: 0, ..small() });
        gate.admission.expect_rate(expected.map(per_second));
        (0..1_000).map(|_| gate.refuse(Arrival::default()).retry_after).max().unwrap()
    };
    assert!(last(None) > SECOND * 85);
    assert!(last(Some(1)) > SECOND * 85, "less than the rate");
    assert!(last(Some(100)) < SECOND * 12);
}

#[test]
fn a_backlog_of_nothing_sends_nobody_to_the_same_instant() {
    let mut gate = Gate::full(AdmissionParams { held_max: 0, ..small() });
    gate.admission.set_backlog(Some(0));
    let waits: Vec<u64> =
        (0..1_000).map(|_| gate.refuse(Arrival::default()).retry_after.as_secs()).collect();
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

/// Agents that obey, some of them slow or quick by a tenth: all get in, in about the ideal time.
#[test]
fn everybody_who_obeys_gets_in() {
    let agents = 3_000_u32;
    let params = AdmissionParams { held_max: 0, ..AdmissionParams::new(per_second(50)) };
    let mut gate = Gate::new(params);
    let start = gate.now;
    let clock = |agent: u32| 0.9 + 0.2 * f64::from(agent % 97) / 96.0;
    let mut dials: BinaryHeap<_> = (0..agents)
        .map(|agent| Reverse((start + SECOND / agents * (agent * 7 % agents), agent)))
        .collect();
    let mut parked = std::collections::HashMap::new();
    let (mut inside, mut attempts) = (0, 0);
    while inside < agents {
        gate.now += SECOND / 100;
        gate.admission.set_backlog(Some(u64::from(agents - inside)));
        for (ticket, turn) in gate.poll().0 {
            let agent = parked.remove(&ticket).unwrap();
            match turn {
                Turn::Admit => inside += 1,
                Turn::Refuse(refusal) => {
                    dials.push(Reverse((
                        gate.now + refusal.retry_after.mul_f64(clock(agent)),
                        agent,
                    )));
                }
            }
        }
        while let Some(Reverse((at, agent))) = dials.peek().copied().filter(|d| d.0.0 <= gate.now) {
            dials.pop();
            attempts += 1;
            match gate.arrive(Arrival::default()) {
                Verdict::Admit => inside += 1,
                Verdict::Park { ticket, .. } => _ = parked.insert(ticket, agent),
                Verdict::Refuse(refusal) => {
                    dials.push(Reverse((at + refusal.retry_after.mul_f64(clock(agent)), agent)));
                }
            }
        }
        assert!(gate.now < start + SECOND * 66, "{inside} of {agents} are in");
    }
    let attempts = f64::from(attempts) / f64::from(agents);
    assert!(attempts <= 2.1, "{attempts}");
}
