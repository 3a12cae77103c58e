//! Arbitrary schedules against what must hold in every one of them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::tests::per_second;
use super::{
    Admission, AdmissionParams, AdmissionVerdict, Arrival, Identity, Outcome, ParkVerdict, Refusal,
    Ticket, time_for,
};

#[derive(Debug, Clone, Copy)]
enum AdmissionEvent {
    Arrive(bool, u64),
    Crowd(u32),
    Leave(prop::sample::Index),
    Poll,
    HoldEnded,
    Rate(u32),
    Expect(Option<u32>),
    Backlog(Option<u64>),
    Pass(u64),
}

fn event() -> impl Strategy<Value = AdmissionEvent> {
    prop_oneof![
        8 => (any::<bool>(), 0..20_u64).prop_map(|(over, who)| AdmissionEvent::Arrive(over, who)),
        2 => (1..60_u32).prop_map(AdmissionEvent::Crowd),
        3 => any::<prop::sample::Index>().prop_map(AdmissionEvent::Leave),
        6 => Just(AdmissionEvent::Poll),
        2 => Just(AdmissionEvent::HoldEnded),
        1 => (1..60_u32).prop_map(AdmissionEvent::Rate),
        1 => proptest::option::of(1..90_u32).prop_map(AdmissionEvent::Expect),
        1 => proptest::option::of(0..3_000_u64).prop_map(AdmissionEvent::Backlog),
        4 => (0..700_u64).prop_map(AdmissionEvent::Pass),
        1 => (0..40_000_u64).prop_map(AdmissionEvent::Pass),
    ]
}

/// Admission, and the state of the oracle.
struct AdmissionOracle {
    admission: Admission,
    params: AdmissionParams,
    now: Instant,
    random: u64,
    backlog: Option<u64>,
    /// Parked arrivals in the order in which they came, with the moment of their refusal.
    line: VecDeque<(Ticket, Instant)>,
    arrivals: usize,
    refusals: u64,
    counts: HashMap<Outcome, usize>,
    /// Tokens that the rate has brought since the start, and since when at this rate.
    brought: f64,
    /// What it had brought, and the burst, when each arrival was admitted.
    admitted: Vec<(f64, f64)>,
}

impl AdmissionOracle {
    fn new(params: AdmissionParams) -> Self {
        let now = crate::clock::now();
        Self {
            admission: Admission::new(params, now),
            params,
            now,
            random: 0x9e37_79b9_7f4a_7c15,
            backlog: None,
            line: VecDeque::new(),
            arrivals: 0,
            refusals: 0,
            counts: HashMap::new(),
            brought: 0.0,
            admitted: Vec::new(),
        }
    }

    fn chance(random: &mut u64) -> f64 {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        (*random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn rate(&self) -> f64 {
        f64::from(self.admission.rate().get())
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.brought += time.as_secs_f64() * self.rate();
    }

    fn count(&mut self, outcome: Outcome) {
        *self.counts.entry(outcome).or_default() += 1;
        if matches!(outcome, Outcome::Admitted | Outcome::AdmittedFromPark) {
            self.admitted.push((self.brought, self.rate().max(1.0)));
        }
    }

    fn places(&self) -> usize {
        usize::try_from(self.admission.rate().get()).unwrap()
            * usize::try_from(self.params.park_horizon.as_secs()).unwrap()
    }

    fn arrive(&mut self, arrival: Arrival) -> Result<(), TestCaseError> {
        let bound = self.longest();
        let held = self.admission.held();
        let random = &mut self.random;
        let verdict = self.admission.arrive(arrival, self.now, &mut || Self::chance(random));
        self.arrivals += 1;
        verdict.outcome().into_iter().for_each(|outcome| self.count(outcome));
        match verdict {
            AdmissionVerdict::Admit => prop_assert!(self.line.is_empty(), "past parked arrivals"),
            AdmissionVerdict::Pass(pass) => prop_assert!(false, "{pass:?} without a session"),
            AdmissionVerdict::Park { ticket, until } => {
                let others = self.places() - self.places() * 3 / 4;
                prop_assert!(!arrival.over_share || self.line.len() + others < self.places());
                self.line.push_back((ticket, until));
                prop_assert!(self.line.len() <= self.places());
            }
            AdmissionVerdict::Refuse(refusal) => {
                self.check(refusal, bound)?;
                let more = usize::from(!refusal.hold.is_zero());
                prop_assert_eq!(self.admission.held(), held + more);
            }
        }
        Ok(())
    }

    /// The longest wait that can be explained: the line, then the sleeping agents. There are as many of these
    /// as were told, or as were ever refused.
    fn longest(&self) -> Duration {
        let rate = self.admission.rate();
        let line = time_for(self.line.len() as u64, rate).max(self.params.retry_min);
        let asleep = self.backlog.map(|agents| agents.max(self.refusals + 1));
        let asleep = asleep.map(|agents| time_for(agents, rate));
        line + asleep.unwrap_or(self.params.retry_max).min(self.params.retry_max)
    }

    fn check(&mut self, refusal: Refusal, longest: Duration) -> Result<(), TestCaseError> {
        self.refusals += 1;
        let second = Duration::from_secs(1);
        let wait = refusal.hold + refusal.retry_after;
        prop_assert!(wait <= longest + second, "{wait:?}, explained {longest:?}");
        prop_assert!(refusal.retry_after >= second && refusal.retry_after.subsec_nanos() == 0);
        prop_assert!(refusal.hold <= self.params.hold_max);
        Ok(())
    }

    fn poll(&mut self) -> Result<(), TestCaseError> {
        let longest = self.longest();
        let mut decided = Vec::new();
        let random = &mut self.random;
        let next = self.admission.poll(self.now, &mut || Self::chance(random), &mut decided);
        for (ticket, verdict) in decided {
            let (first, until) = self.line.pop_front().unwrap();
            prop_assert_eq!(ticket, first, "out of order");
            self.count(verdict.outcome());
            if let ParkVerdict::Refuse(refusal) = verdict {
                prop_assert!(until <= self.now && refusal.hold.is_zero());
                self.check(refusal, longest)?;
            }
        }
        prop_assert_eq!(next.is_none(), self.line.is_empty());
        let overdue = self.line.front().is_some_and(|(_, until)| *until <= self.now);
        prop_assert!(!overdue || next == Some(self.now));
        Ok(())
    }

    fn step(&mut self, event: AdmissionEvent) -> Result<(), TestCaseError> {
        let identity = |n| (n > 9).then(|| Identity::new(n));
        match event {
            AdmissionEvent::Arrive(over_share, i) => {
                self.arrive(Arrival { over_share, identity: identity(i), ..Arrival::default() })?;
            }
            AdmissionEvent::Crowd(size) => {
                (0..size).try_for_each(|_| self.arrive(Arrival::default()))?;
            }
            AdmissionEvent::Leave(which) if !self.line.is_empty() => {
                let (ticket, ..) = self.line.remove(which.index(self.line.len())).unwrap();
                prop_assert!(self.admission.leave(ticket) && !self.admission.leave(ticket));
                self.count(Outcome::Left);
            }
            AdmissionEvent::Leave(_) => {}
            AdmissionEvent::Poll => self.poll()?,
            AdmissionEvent::HoldEnded => self.admission.hold_ended(),
            AdmissionEvent::Rate(rate) => self.admission.set_rate(per_second(rate), self.now),
            AdmissionEvent::Expect(rate) => self.admission.expect_rate(rate.map(per_second)),
            AdmissionEvent::Backlog(agents) => {
                self.backlog = agents;
                self.admission.set_backlog(agents);
            }
            AdmissionEvent::Pass(ms) => self.pass(Duration::from_millis(ms)),
        }
        Ok(())
    }

    /// Entries in the worst stretch of time, beyond what the rate brought in it and the burst at its beginning.
    fn excess(&self) -> f64 {
        let mut most = f64::MIN;
        for (first, (from, burst)) in self.admitted.iter().enumerate() {
            for (last, (to, _)) in self.admitted.iter().enumerate().skip(first) {
                most = most.max((last - first + 1) as f64 - (to - from) - burst);
            }
        }
        most
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn bounded_in_order_and_every_arrival_counted_once(
        events in proptest::collection::vec(event(), 1..250),
        rate in 1..40_u32,
        park in 0..5_u64,
        ttl in 1..8_u64,
        held_max in 0..6_usize,
        reservations_max in 0..8_usize,
    ) {
        let params = AdmissionParams {
            park_horizon: Duration::from_secs(park),
            park_ttl: Duration::from_secs(ttl),
            held_max,
            reservations_max,
            retry_max: Duration::from_secs(100),
            ..AdmissionParams::new(per_second(rate))
        };
        let mut world = AdmissionOracle::new(params);
        for event in events {
            world.step(event)?;
            let admission = &world.admission;
            prop_assert_eq!(admission.parked(), world.line.len());
            prop_assert!(admission.held() <= held_max && admission.reservations() <= reservations_max);
            let ended: usize = world.counts.values().sum();
            prop_assert_eq!(ended + world.line.len(), world.arrivals);
        }
        let excess = world.excess();
        prop_assert!(excess <= 1e-6, "{excess} above the rate");
    }
}
