//! Arbitrary schedules against what must hold in every one of them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{MS, SECOND, crowd, params, uid};
use super::{Class, Next, Pacer, Permit};

#[derive(Debug, Clone, Copy)]
enum PacingEvent {
    Enqueue(u32, usize),
    Message,
    Permit,
    UnusedPermit,
    Answer(u16, Option<u64>),
    Orphaned(u16, u32),
    OrphanAnswer(Option<u64>),
    LinkLost(u16),
    Pause(u64),
    Pass(u64),
}

fn event() -> impl Strategy<Value = PacingEvent> {
    prop_oneof![
        6 => (0..40_u32, 0..6_usize).prop_map(|(n, class)| PacingEvent::Enqueue(n, class)),
        3 => Just(PacingEvent::Message),
        8 => Just(PacingEvent::Permit),
        1 => Just(PacingEvent::UnusedPermit),
        4 => (0..4_u16, proptest::option::of(0..3_000_u64)).prop_map(|(l, a)| PacingEvent::Answer(l, a)),
        2 => (0..4_u16, 0..3_u32).prop_map(|(link, count)| PacingEvent::Orphaned(link, count)),
        2 => proptest::option::of(0..3_000_u64).prop_map(PacingEvent::OrphanAnswer),
        1 => (0..4_u16).prop_map(PacingEvent::LinkLost),
        1 => (0..3_000_u64).prop_map(PacingEvent::Pause),
        3 => (0..400_u64).prop_map(PacingEvent::Pass),
        1 => (0..12_000_u64).prop_map(PacingEvent::Pass),
    ]
}

/// The most that went in any window of time beyond what the rate allows in it.
fn excess(gone: &[Duration], rate: f64) -> f64 {
    let mut most = 0.0_f64;
    for (first, from) in gone.iter().enumerate() {
        for (last, to) in gone.iter().enumerate().skip(first) {
            let count = (last - first + 1) as f64;
            most = most.max(count - rate * (*to - *from).as_secs_f64());
        }
    }
    most
}

/// What waits, as a reader of the rules would write it down.
#[derive(Default)]
struct Oracle([VecDeque<u32>; 6]);

impl Oracle {
    fn len(&self) -> usize {
        self.0.iter().map(VecDeque::len).sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_doubled_or_too_early(
        events in proptest::collection::vec(event(), 1..300),
        pace_max in 1..200_u32,
        pace_min in 1..200_u32,
        in_flight_max in 1..64_u32,
    ) {
        let pace_min = pace_min.min(pace_max);
        let start = crate::clock::now();
        let mut pacer = Pacer::new(params(pace_max, pace_min, in_flight_max), start);
        let mut now = start;
        let mut paused_until = start;
        let mut oracle = Oracle::default();
        // When messages went; and those of them that went although the window was full.
        let (mut gone, mut by_floor) = (Vec::new(), Vec::new());
        let mut asked = Vec::new();
        for event in events {
            let full = pacer.in_flight(now) >= pacer.window(now);
            let paced: usize = Class::PACED.iter().map(|c| oracle.0[c.index()].len()).sum();
            match event {
                PacingEvent::Enqueue(n, class) => {
                    // The session sees to it that it stands in a class once.
                    if !oracle.0[class].contains(&n) {
                        oracle.0[class].push_back(n);
                        pacer.enqueue(uid(n), Class::ALL[class]);
                    }
                }
                PacingEvent::Message => {
                    if pacer.admit(now) == Permit::Granted {
                        prop_assert!(now >= paused_until && paced == 0);
                        gone.push(now - start);
                        if full { by_floor.push(now - start) }
                        pacer.sent(0, now);
                    }
                }
                PacingEvent::Permit | PacingEvent::UnusedPermit => match pacer.next(now) {
                    Next::Permit(who, class) => {
                        prop_assert!(now >= paused_until);
                        let first = oracle.0[class.index()].pop_front().map(uid);
                        prop_assert_eq!(first, Some(who), "out of order in {:?}", class);
                        if matches!(event, PacingEvent::UnusedPermit) {
                            pacer.refund(class);
                        } else if class == Class::Ask {
                            asked.push(now - start);
                        } else {
                            gone.push(now - start);
                            if full { by_floor.push(now - start) }
                            pacer.sent(u16::try_from(gone.len() % 4).unwrap(), now);
                        }
                    }
                    Next::Wait(wait) => {
                        prop_assert!(oracle.len() > 0 && wait > Duration::ZERO);
                    }
                    Next::Empty => prop_assert_eq!(oracle.len(), 0),
                },
                PacingEvent::Answer(link, after) => {
                    pacer.answered(link, after.map(Duration::from_millis), now);
                }
                PacingEvent::Orphaned(link, count) => pacer.orphaned(link, count, now),
                PacingEvent::OrphanAnswer(after) => {
                    pacer.orphan_answered(after.map(Duration::from_millis), now);
                }
                PacingEvent::LinkLost(link) => pacer.link_lost(link),
                PacingEvent::Pause(ms) => {
                    pacer.pause(now + MS * u32::try_from(ms).unwrap(), now);
                    paused_until = paused_until.max(now + Duration::from_millis(ms));
                }
                PacingEvent::Pass(ms) => now += Duration::from_millis(ms),
            }
            prop_assert_eq!(pacer.len(), oracle.len());
            prop_assert!(pacer.window(now) <= in_flight_max);
        }
        let burst = |rate: u32| (f64::from(rate) / 50.0).max(1.0) + 1e-6;
        for times in [&gone, &asked] {
            let most = excess(times, f64::from(pace_max));
            prop_assert!(most <= burst(pace_max), "{most} above the ceiling");
        }
        let most = excess(&by_floor, f64::from(pace_min));
        prop_assert!(most <= burst(pace_min) + 1.0, "{most} past the window");
    }

    /// With everything waiting all the time, whatever is enlisted when.
    #[test]
    fn shares_approach_the_weights(seed in 0..1_000_u32, count in 300..900_u32) {
        let start = crate::clock::now();
        let mut pacer = Pacer::new(params(1_000, 1_000, 1), start);
        let mut counts: HashMap<Class, u32> = HashMap::new();
        for class in Class::PACED {
            crowd(&mut pacer, seed..seed + 5, class);
        }
        for n in 0..count {
            let now = start + SECOND / 50 * n;
            let Next::Permit(who, class) = pacer.next(now) else { panic!("a permit") };
            pacer.enqueue(who, class);
            *counts.entry(class).or_default() += 1;
        }
        for (class, weight) in Class::PACED.into_iter().zip([8, 4, 2, 1]) {
            let (got, due) = (f64::from(counts[&class]), f64::from(count * weight) / 15.0);
            prop_assert!((got - due).abs() <= 2.0, "{class:?}: {got} permits, {due} due");
        }
    }
}
