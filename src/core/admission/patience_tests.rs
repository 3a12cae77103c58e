//! Kinds of clients at admission: who is let in beside the rate, who waits for how long, and what they are told.

use std::time::{Duration, Instant};

use super::tests::per_second;
use super::{
    Admission, AdmissionParams, AdmissionVerdict, Arrival, ClientHead, ClientPatience, ClientTable,
    ClientTransport, ParkVerdict, PassReason, Queue, Reason, Refusal,
};

const SECOND: Duration = Duration::from_secs(1);

/// Ten entries a second, two seconds' worth of places, and an empty bucket.
struct ClientBench {
    admission: Admission,
    now: Instant,
}

impl ClientBench {
    fn new() -> Self {
        let now = crate::clock::now();
        let params = AdmissionParams {
            park_horizon: SECOND * 2,
            machine_rate: per_second(1_000),
            ..AdmissionParams::new(per_second(10))
        };
        let mut bench = Self { admission: Admission::new(params, now), now };
        (0..10).for_each(|_| assert_eq!(bench.arrive(plain()), AdmissionVerdict::Admit));
        bench
    }

    fn arrive(&mut self, arrival: Arrival) -> AdmissionVerdict {
        self.admission.arrive(arrival, self.now, &mut || 0.5)
    }

    /// How many are let in or parked before the first is refused.
    fn fill(&mut self, arrival: Arrival) -> (usize, Refusal) {
        for count in 0..100_000 {
            if let AdmissionVerdict::Refuse(refusal) = self.arrive(arrival) {
                return (count, refusal);
            }
        }
        panic!("never refused");
    }

    /// Lets time pass in steps of ten milliseconds, each with this delay; says what was decided, in order.
    fn pass(&mut self, time: Duration, delay: Duration) -> Vec<ParkVerdict> {
        let step = Duration::from_millis(10);
        let mut decided = Vec::new();
        for _ in 0..time.as_millis() / step.as_millis() {
            self.now += step;
            self.admission.feel(delay, step, self.now);
            while self.admission.poll(self.now, &mut || 0.5, &mut decided) == Some(self.now) {}
        }
        decided.into_iter().map(|(_, verdict)| verdict).collect()
    }
}

fn plain() -> Arrival {
    Arrival::default()
}

fn waits(wait: u32) -> Arrival {
    Arrival { patience: ClientPatience::new(SECOND * wait, SECOND * 5), ..plain() }
}

fn in_session() -> Arrival {
    Arrival { in_session: true, ..plain() }
}

fn untold() -> Arrival {
    let patience = ClientPatience::new(Duration::from_millis(700), Duration::ZERO);
    Arrival { patience: patience.waiting_in(Queue::Untold), ..plain() }
}

fn patient() -> Arrival {
    let patience = ClientPatience::new(SECOND * 90, Duration::ZERO).waiting_in(Queue::Patient);
    Arrival { patience, ..plain() }
}

fn refused(verdicts: &[ParkVerdict], reason: Reason) -> usize {
    let is = |verdict: &&ParkVerdict| matches!(verdict, ParkVerdict::Refuse(refusal) if refusal.reason == reason);
    verdicts.iter().filter(is).count()
}

fn count(verdicts: &[ParkVerdict], wanted: ParkVerdict) -> usize {
    verdicts.iter().filter(|verdict| **verdict == wanted).count()
}

#[test]
fn an_agent_with_a_session_owes_no_entry() {
    let mut bench = ClientBench::new();
    bench.fill(plain());
    for _ in 0..50 {
        assert_eq!(bench.arrive(in_session()), AdmissionVerdict::Pass(PassReason::Session));
    }
    let parked = bench.admission.parked();
    bench.pass(SECOND, Duration::ZERO);
    assert!(parked - bench.admission.parked() >= 9, "newcomers get the whole rate meanwhile");
}

#[test]
fn agents_with_sessions_are_let_in_as_far_as_the_machine_bears_it() {
    let mut bench = ClientBench::new();
    // Overload: in a second of it the share falls to its least, and most of them wait.
    let overload = Duration::from_millis(40);
    bench.fill(in_session());
    bench.pass(SECOND * 5, overload);
    bench.pass(SECOND * 30, Duration::ZERO);
    bench.fill(in_session());
    let mut passed = 0;
    for _ in 0..3 {
        let verdicts = bench.pass(SECOND, overload);
        passed = count(&verdicts, ParkVerdict::Pass);
        bench.fill(in_session());
    }
    assert!((80..=120).contains(&passed), "{passed} in a second");
    // Each of them waits in a line as long as it is let wait, or is told to come again within an interval.
    let (_, refusal) = bench.fill(in_session());
    assert_eq!((refusal.reason, refusal.hold), (Reason::ParkFull, Duration::ZERO));
    assert!(refusal.retry_after <= SECOND * 32, "{refusal:?}");
    assert_eq!(bench.admission.parked_for_entry(), 0, "no entry is waited for");
    // When the machine is free again, all are let in within a moment.
    let waiting = bench.admission.parked();
    let verdicts = bench.pass(SECOND * 3, Duration::ZERO);
    assert!(count(&verdicts, ParkVerdict::Pass) > waiting * 9 / 10, "of {waiting}");
}

#[test]
fn who_gives_up_early_joins_a_short_line_and_is_refused_in_time() {
    let mut bench = ClientBench::new();
    // One second less a tenth: nine are admitted in that.
    let (joined, refusal) = bench.fill(waits(1));
    assert_eq!((joined, refusal.reason), (9, Reason::ParkFull));
    // Others still join behind them.
    let (joined, _) = bench.fill(plain());
    assert_eq!(joined, 11);
    // The rate falls: those in the line who give up first are refused first, wherever they stand.
    bench.admission.set_rate(per_second(1), bench.now);
    let verdicts = bench.pass(SECOND, Duration::ZERO);
    assert!(refused(&verdicts, Reason::ParkTtl) >= 8, "{verdicts:?}");
    assert_eq!((verdicts.len(), bench.admission.parked()), (9, 11));
    let verdicts = bench.pass(SECOND * 3, Duration::ZERO);
    assert!((3..=4).contains(&count(&verdicts, ParkVerdict::Admit)), "{verdicts:?}");
    assert_eq!(refused(&verdicts, Reason::ParkTtl), 0);
}

#[test]
fn a_refusal_keeps_to_what_its_client_bears() {
    let mut bench = ClientBench::new();
    bench.fill(plain());
    let mut told = |patience: ClientPatience| {
        let verdict = bench.arrive(Arrival { patience, ..plain() });
        let AdmissionVerdict::Refuse(refusal) = verdict else { panic!("{verdict:?}") };
        refusal
    };
    let at_once = told(ClientPatience::new(SECOND * 8, Duration::ZERO));
    assert_eq!(at_once.hold, Duration::ZERO);
    let held = told(ClientPatience::new(SECOND * 8, SECOND / 2));
    assert_eq!(held.hold, SECOND / 2);
    let away = told(ClientPatience::new(SECOND * 8, SECOND * 5).away_for(SECOND * 30));
    assert!(away.hold + away.retry_after >= SECOND * 30, "{away:?}");
}

#[test]
fn the_patient_line_is_four_parks_long_and_takes_turns_with_the_park() {
    let mut bench = ClientBench::new();
    let mut line = Vec::new();
    while let AdmissionVerdict::Park { ticket, .. } = bench.arrive(patient()) {
        line.push(ticket);
    }
    assert_eq!(line.len(), 80);
    assert_eq!(bench.fill(plain()).0, 10, "what half of the rate admits in the horizon");
    let mut decided = Vec::new();
    for _ in 0..20 {
        bench.now += SECOND / 10;
        bench.admission.poll(bench.now, &mut || 0.5, &mut decided);
    }
    let patient_ones = decided.iter().filter(|(ticket, _)| line.contains(ticket)).count();
    assert!((9..=11).contains(&patient_ones), "each gets half: {patient_ones}");
    assert!((19..=20).contains(&decided.len()), "{}", decided.len());
    bench.pass(SECOND * 8, Duration::ZERO);
    assert_eq!(bench.admission.parked(), 0, "and what the other leaves");
    // Nothing is admitted any more: they wait for as long as their clients do.
    bench.fill(patient());
    bench.admission.set_rate(per_second(1), bench.now);
    let verdicts = bench.pass(SECOND * 80, Duration::ZERO);
    assert_eq!(refused(&verdicts, Reason::ParkTtl), 0);
}

#[test]
fn clients_that_can_be_told_nothing_are_served_within_a_share_of_their_own() {
    let mut bench = ClientBench::new();
    bench.fill(plain());
    // A tenth of a second's worth is saved up, of at most 5,000 a second.
    let (served, refusal) = bench.fill(untold());
    assert_eq!((served, refusal.reason, refusal.hold), (500, Reason::Overload, Duration::ZERO));
    let mut within = |time: Duration, delay| {
        let mut served = 0;
        for _ in 0..time.as_millis() / 10 {
            bench.pass(Duration::from_millis(10), delay);
            served += bench.fill(untold()).0;
        }
        served
    };
    let calm = within(SECOND, Duration::ZERO);
    assert!((4_900..=5_100).contains(&calm), "{calm}");
    within(SECOND, Duration::from_millis(40));
    let overload = within(SECOND, Duration::from_millis(40));
    assert!(overload <= 120, "{overload}");
    // No reservation is spent on them, and no entry.
    let (_, next) = bench.fill(plain());
    assert!(next.hold + next.retry_after <= SECOND * 4, "{next:?}");
}

/// Who only says that it is such a client comes from somewhere, too.
#[test]
fn a_source_over_its_share_goes_behind_those_that_can_be_told_nothing() {
    let mut bench = ClientBench::new();
    let (served, refusal) = bench.fill(Arrival { over_share: true, ..untold() });
    assert_eq!((served, refusal.reason), (375, Reason::SourceShare));
    assert_eq!(bench.fill(untold()).0, 125, "the others find a quarter of it");
}

/// newrelic-opamp-rs polls each half minute whatever it is told, all of a fleet in step: what is not let in while it
/// waits is not let in at all.
#[test]
fn a_fleet_that_comes_each_half_minute_whatever_it_is_told_is_held_to_the_ideal() {
    const AGENTS: usize = 600;
    let head =
        ClientHead { transport: ClientTransport::Http, user_agent: None, names_agent: false };
    let patience = ClientTable::new(Vec::new(), SECOND / 2).patience(head);
    let agent = Arrival { patience, ..plain() };
    let start = crate::clock::now();
    let params = AdmissionParams::new(per_second(10));
    let mut bench = ClientBench { admission: Admission::new(params, start), now: start };
    let mut left = AGENTS;
    while left > 0 {
        let came = bench.now;
        let at_once = (0..left).filter(|_| bench.arrive(agent) == AdmissionVerdict::Admit).count();
        let verdicts = bench.pass(SECOND * 30, Duration::ZERO);
        let admitted = at_once + count(&verdicts, ParkVerdict::Admit);
        assert_eq!(refused(&verdicts, Reason::ParkTtl), 0, "none waits in vain");
        left -= admitted;
        assert!(came < start + SECOND * 61, "{left} are left after {:?}", bench.now - start);
    }
}
