//! Answers to sessions that have ended.

use std::time::{Duration, Instant};

use super::harness::{UID, route};
use crate::core::session::echoes::EXPECTED_FOR;
use crate::core::session::{Answer, Echoes, Session};
use crate::ident::{ConnectionId, InstanceUid};

/// A session of which the server has not answered so many messages.
fn ended(uid: InstanceUid, unanswered: u32, now: Instant) -> Session {
    let mut session = Session::new(uid, now);
    session.arrive(ConnectionId(1), now);
    (0..unanswered).for_each(|_| session.sent(route(1), now));
    session.gone();
    session
}

#[test]
fn answers_are_expected_for_a_while_and_on_their_route() {
    let now = crate::clock::now();
    let mut echoes = Echoes::default();
    echoes.ended(&ended(UID, 2, now), now);
    assert_eq!(echoes.heard(UID, route(1), now), Some(Answer::ORPHAN));
    assert_eq!(echoes.heard(UID, route(2), now), None, "it was never asked");
    assert!(echoes.take(UID, now).is_some(), "one is still to come");
    assert!(echoes.take(UID, now).is_none(), "it is the new session's to expect");
    echoes.ended(&ended(UID, 2, now), now);
    echoes.heard(UID, route(1), now);
    // The last one answers the message that the session ended with.
    let later = now + Duration::from_millis(70);
    let last = Answer { after: Some(later - now), ..Answer::ORPHAN };
    assert_eq!(echoes.heard(UID, route(1), later), Some(last));
    assert_eq!(echoes.heard(UID, route(1), later), None);
    assert!(echoes.take(UID, now).is_none(), "both have come");
    echoes.ended(&ended(UID, 0, now), now);
    assert!(echoes.take(UID, now).is_none(), "there is none to come");
    echoes.ended(&ended(UID, 1, now), now);
    assert!(echoes.take(UID, now + EXPECTED_FOR).is_none(), "it will not come");
}

#[test]
fn what_is_no_longer_expected_is_forgotten_and_the_newest_counts() {
    let now = crate::clock::now();
    let later = now + Duration::from_secs(20);
    let other = InstanceUid::from_bytes([8; 16]);
    let mut echoes = Echoes::default();
    echoes.ended(&ended(UID, 1, now), now);
    echoes.ended(&ended(other, 1, now), now);
    echoes.ended(&ended(UID, 1, later), later);
    echoes.forget(now + EXPECTED_FOR);
    assert_eq!(echoes.len(), (1, 1));
    assert!(echoes.take(UID, later).is_some());
    echoes.forget(later + EXPECTED_FOR);
    assert_eq!(echoes.len(), (0, 0));
}

#[test]
fn an_echo_ends_with_its_time_or_its_link() {
    let now = crate::clock::now();
    let mut echoes = Echoes::default();
    for on in [1, 2] {
        echoes.ended(&ended(UID, 1, now), now);
        let mut session = Session::new(UID, now);
        session.expect_echoes(echoes.take(UID, now).unwrap());
        session.sent(route(on), now);
        assert_eq!(session.hears_echoes(), on == 1);
        session.end_echoes(now + EXPECTED_FOR);
        session.tidy(now);
        assert!(!session.hears_echoes() && session.rare.is_none());
    }
}
