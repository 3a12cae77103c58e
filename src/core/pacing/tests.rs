//! The pacer, rule by rule.

use std::num::{NonZeroU16, NonZeroU32};
use std::ops::Range;
use std::time::{Duration, Instant};

use super::{Class, Next, Pacer, PacerParams, Permit};
use crate::ident::InstanceUid;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) fn params(pace_max: u32, pace_min: u32, in_flight_max: u32) -> PacerParams {
    let of = |number| NonZeroU32::new(number).unwrap();
    PacerParams {
        pace_max: of(pace_max),
        pace_min: of(pace_min),
        in_flight_max: of(in_flight_max),
        liveness: NonZeroU32::new(1_000),
        links: NonZeroU16::new(4).unwrap(),
    }
}

/// What the configuration has by default.
pub(super) fn defaults() -> PacerParams {
    params(100_000, 10, 4_096)
}

pub(super) fn uid(n: u32) -> InstanceUid {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    InstanceUid::from_bytes(bytes)
}

/// These all wait in one class.
pub(super) fn crowd(pacer: &mut Pacer, uids: Range<u32>, class: Class) {
    for n in uids {
        pacer.enqueue(uid(n), class);
    }
}

fn new(params: PacerParams) -> (Pacer, Instant) {
    let now = crate::clock::now();
    (Pacer::new(params, now), now)
}

/// All permits that there are at one instant, each answered at once.
fn permits(pacer: &mut Pacer, now: Instant) -> Vec<(InstanceUid, Class)> {
    let mut granted = Vec::new();
    while let Next::Permit(uid, class) = pacer.next(now) {
        granted.push((uid, class));
    }
    granted
}

#[test]
fn first_in_first_out_in_each_class() {
    let (mut pacer, now) = new(defaults());
    for n in 0..12 {
        pacer.enqueue(uid(n), Class::ALL[n as usize % 6]);
    }
    assert_eq!((pacer.len(), pacer.len_of(Class::Change)), (12, 2));
    let granted = permits(&mut pacer, now);
    for class in Class::ALL {
        let first = u32::try_from(class.index()).unwrap();
        let order: Vec<_> = granted.iter().filter(|t| t.1 == class).map(|t| t.0).collect();
        assert_eq!(order, [uid(first), uid(first + 6)], "{class:?}");
    }
    assert_eq!(pacer.next(now), Next::Empty);
}

#[test]
fn shares_follow_the_weights_and_each_class_gets_on() {
    let (mut pacer, now) = new(params(20_000, 20_000, 1));
    for class in Class::PACED {
        crowd(&mut pacer, 0..1_000, class);
    }
    let mut counts = [0; 5];
    for n in 0..1_500 {
        let Next::Permit(_, class) = pacer.next(now + MS * n) else { panic!("a permit") };
        counts[class.index()] += 1;
    }
    assert_eq!(counts[..4], [800, 400, 200, 100]);
}

#[test]
fn a_class_that_was_silent_has_saved_nothing_up() {
    let (mut pacer, now) = new(params(20_000, 20_000, 1));
    crowd(&mut pacer, 0..300, Class::Announce);
    (0..200).for_each(|n| assert!(matches!(pacer.next(now + MS * n), Next::Permit(..))));
    crowd(&mut pacer, 0..300, Class::Change);
    let later = now + SECOND;
    let announces = (0..50)
        .filter(|n| matches!(pacer.next(later + MS * *n), Next::Permit(_, Class::Announce)))
        .count();
    assert!((9..=11).contains(&announces), "one in five at once: {announces} in 50");
}

#[test]
fn the_window_holds_until_answers_come() {
    let (mut pacer, now) = new(defaults());
    crowd(&mut pacer, 0..100, Class::FullState);
    let mut gone = 0;
    while let Next::Permit(..) = pacer.next(now) {
        pacer.sent(0, now);
        gone += 1;
    }
    // Exactly that: what the window lets through counts for the floor.
    assert_eq!(gone, pacer.window(now));
    let Next::Wait(wait) = pacer.next(now) else { panic!("something waits") };
    assert!(wait <= MS * 101, "the floor: {wait:?}");
    assert!(pacer.answered(0, Some(MS), now), "the task that grants permits has to be woken");
    // While the window opens an answer makes room for itself and for two more.
    for _ in 0..3 {
        assert!(matches!(pacer.next(now), Next::Permit(..)));
        pacer.sent(0, now);
    }
    assert!(matches!(pacer.next(now), Next::Wait(_)));
    pacer.link_lost(0);
    assert_eq!(pacer.in_flight(now), 0);
}

#[test]
fn a_message_waits_behind_those_before_it() {
    let (mut pacer, now) = new(defaults());
    assert_eq!(pacer.admit(now), Permit::Granted);
    pacer.enqueue(uid(1), Class::Ask);
    assert_eq!(pacer.admit(now), Permit::Granted, "an Ask waits for something else");
    pacer.enqueue(uid(1), Class::Announce);
    assert_eq!(pacer.admit(now), Permit::Wait { soon: true });
    crowd(&mut pacer, 0..1_000, Class::Change);
    assert_eq!(pacer.admit(now), Permit::Wait { soon: false });
}

/// A change goes before most of the announcements of a storm.
#[test]
fn the_wait_is_that_of_the_own_class() {
    let (mut pacer, now) = new(params(20_000, 10, 4_096));
    crowd(&mut pacer, 0..1_000, Class::Announce);
    assert_eq!(pacer.admit(now), Permit::Wait { soon: true });
}

#[test]
fn a_pause_holds_everything_and_the_window_begins_small() {
    let (mut pacer, mut now) = new(defaults());
    for _ in 0..500 {
        for _ in 0..pacer.window(now) {
            pacer.sent(0, now);
        }
        now += MS;
        for _ in 0..pacer.window(now).min(pacer.in_flight(now)) {
            pacer.answered(0, Some(MS), now);
        }
    }
    assert!(pacer.window(now) > 1_000, "{}", pacer.window(now));
    pacer.pause(now + SECOND, now);
    pacer.pause(now + SECOND / 2, now);
    assert_eq!(pacer.window(now), 16);
    assert_eq!(pacer.admit(now), Permit::Wait { soon: false });
    for class in Class::ALL {
        pacer.enqueue(uid(1), class);
    }
    assert_eq!(pacer.next(now + SECOND / 2), Next::Wait(SECOND / 2));
    assert_eq!(pacer.admit(now + SECOND * 3 / 4), Permit::Wait { soon: true });
    assert_eq!(permits(&mut pacer, now + SECOND).len(), Class::ALL.len());
}

/// Many agents' grace periods have ended, and the server leaves goodbyes unanswered.
#[test]
fn those_who_are_gone_do_not_fill_the_window() {
    let (mut pacer, start) = new(defaults());
    crowd(&mut pacer, 0..2_000, Class::Urgent);
    let mut gone = 0;
    for n in 0..20_000 {
        let now = start + MS * n;
        while let Next::Permit(..) = pacer.next(now) {
            pacer.sent(1, now);
            pacer.orphaned(1, 1, now);
            gone += 1;
        }
    }
    assert_eq!(gone, 2_000, "the floor alone lets 200 go");
}

/// If it answers them, they are paced by that as everything is.
#[test]
fn answers_to_those_who_are_gone_move_the_window() {
    let (mut pacer, start) = new(defaults());
    crowd(&mut pacer, 0..2_000, Class::Urgent);
    let mut gone = 0;
    for n in 0..1_000 {
        let now = start + MS * n;
        let mut sent = 0;
        while let Next::Permit(..) = pacer.next(now) {
            pacer.sent(0, now);
            pacer.orphaned(0, 1, now);
            sent += 1;
        }
        (0..sent).for_each(|_| _ = pacer.orphan_answered(Some(MS), now + MS));
        gone += sent;
    }
    assert_eq!(gone, 2_000);
    assert!(pacer.window(start + SECOND) > 16 && pacer.in_flight(start + SECOND) == 0);
}

#[test]
fn the_floor_is_kept_without_any_answer() {
    let (mut pacer, start) = new(defaults());
    crowd(&mut pacer, 0..2_000, Class::FullState);
    let mut gone = Vec::new();
    for n in 0..60_000 {
        let now = start + MS * n;
        while let Next::Permit(..) = pacer.next(now) {
            pacer.sent(1, now);
            gone.push(now - start);
        }
    }
    for second in 1..60 {
        let within = SECOND * second..SECOND * (second + 1);
        let count = gone.iter().filter(|at| within.contains(*at)).count();
        assert!((9..=26).contains(&count), "{count} in second {second}");
    }
    assert!(pacer.in_flight(start + SECOND * 60) <= 16 + 11 * 10);
}

#[test]
fn what_needed_nothing_costs_nothing() {
    let (mut pacer, now) = new(params(1, 1, 16));
    crowd(&mut pacer, 0..3, Class::Announce);
    assert!(matches!(pacer.next(now), Next::Permit(..)));
    pacer.refund(Class::Announce);
    assert!(matches!(pacer.next(now), Next::Permit(..)));
    assert!(matches!(pacer.next(now), Next::Wait(_)));
}

#[test]
fn ignorance_is_presumed_after_some_questions_in_a_row() {
    let (mut pacer, now) = new(defaults());
    (0..7).for_each(|_| pacer.announce_answered(true));
    assert!(!pacer.state_lost());
    pacer.announce_answered(true);
    assert!(pacer.state_lost());
    pacer.announce_answered(false);
    assert!(!pacer.state_lost(), "it knew one");
    (0..300).for_each(|_| pacer.announce_answered(true));
    pacer.links_all_lost(now);
    assert!(!pacer.state_lost(), "another process may be there next");
}

#[test]
fn all_that_waits_can_move_to_another_server() {
    let (mut pacer, now) = new(defaults());
    assert!(pacer.enqueue(uid(1), Class::Ask));
    assert!(pacer.enqueue(uid(1), Class::Urgent), "the first that is paced");
    assert!(!pacer.enqueue(uid(2), Class::Announce));
    let moved = pacer.drain();
    assert_eq!(moved, [(uid(1), Class::Urgent), (uid(2), Class::Announce), (uid(1), Class::Ask)]);
    assert_eq!((pacer.len(), pacer.next(now)), (0, Next::Empty));
}

#[test]
fn other_bounds_count_from_now_on() {
    let (mut pacer, now) = new(params(1_000, 10, 4_096));
    let of = |number| NonZeroU32::new(number).unwrap();
    pacer.set_pace(of(5), of(2), now);
    crowd(&mut pacer, 0..1_000, Class::Change);
    // A token is one that is taken: a bucket this small holds no second one.
    let at = |fifth| now + SECOND / 5 * fifth;
    let sent: usize = (0..50).map(|fifth| permits(&mut pacer, at(fifth)).len()).sum();
    assert!((20..=60).contains(&sent), "{sent} in ten seconds at 2 to 5 a second");
}
