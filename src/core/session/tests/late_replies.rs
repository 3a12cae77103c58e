//! Answers to sessions that have ended.

use std::time::Duration;

use super::harness::{Gateway, UID, route};
use super::message::{self, Status, bytes};
use crate::core::session::late_replies::EXPECTED_FOR;
use crate::core::session::{Answer, LateReplies, Session};
use crate::ident::{ConnectionId, InstanceUid, LinkId, ServerId};

#[test]
fn answers_are_expected_for_a_while_and_on_their_route() {
    let now = crate::clock::now();
    let mut late = LateReplies::default();
    late.ended(UID, (route(1), 2), now);
    assert_eq!(late.heard(UID, route(1), now), Some(Answer::ORPHAN));
    assert_eq!(late.heard(UID, route(2), now), None, "it was never asked");
    assert!(late.take(UID, now).is_some(), "one is still to come");
    assert!(late.take(UID, now).is_none(), "it is the new session's to expect");
    late.ended(UID, (route(1), 2), now);
    late.heard(UID, route(1), now);
    // The last one answers the message that the session ended with.
    let later = now + Duration::from_millis(70);
    let last = Answer { after: Some(later - now), ..Answer::ORPHAN };
    assert_eq!(late.heard(UID, route(1), later), Some(last));
    assert_eq!(late.heard(UID, route(1), later), None);
    assert!(late.take(UID, now).is_none(), "both have come");
    late.ended(UID, (route(1), 1), now);
    assert!(late.take(UID, now + EXPECTED_FOR).is_none(), "it will not come");
}

#[test]
fn nothing_comes_on_a_link_that_has_ended() {
    let now = crate::clock::now();
    let later = now + Duration::from_millis(70);
    let mut late = LateReplies::default();
    late.ended(UID, (route(1), 2), now);
    let other = LinkId { server: ServerId(9), ..route(1).link };
    assert_eq!(late.link_ended(UID, other, later), None);
    assert_eq!(late.link_ended(UID, route(1).link, later), Some((2, later - now)));
    assert_eq!(late.link_ended(UID, route(1).link, later), None, "once");
    assert_eq!(late.heard(UID, route(1), later), None);
}

#[test]
fn what_is_no_longer_expected_is_forgotten_and_the_newest_counts() {
    let now = crate::clock::now();
    let later = now + Duration::from_secs(20);
    let other = InstanceUid::from_bytes([8; 16]);
    let mut late = LateReplies::default();
    late.ended(UID, (route(1), 1), now);
    late.ended(other, (route(1), 1), now);
    late.ended(UID, (route(1), 1), later);
    late.forget(now + EXPECTED_FOR);
    assert_eq!(late.len(), (1, 1));
    assert!(late.take(UID, later).is_some());
    late.forget(later + EXPECTED_FOR);
    assert_eq!(late.len(), (0, 0));
}

#[test]
fn a_late_reply_is_expected_until_its_time_and_on_its_link() {
    let now = crate::clock::now();
    for (on, waits, all_arrived) in [(1, false, false), (1, true, true), (2, false, true)] {
        let mut late = LateReplies::default();
        late.ended(UID, (route(1), 1), now);
        let mut gateway = Gateway::new(now);
        gateway.session = Some(Session::new(UID, late.take(UID, now), now));
        gateway.link.incarnation = on;
        gateway.agent_says(ConnectionId(1), &bytes(&message::report(0, Status::FIRST)));
        if waits {
            gateway.now += EXPECTED_FOR;
        }
        gateway.server_says(route(on), &bytes(&message::ack()));
        // What has not arrived for certain goes again when the link is back.
        gateway.link_down();
        gateway.link_up();
        gateway.permits();
        let (_, sent) = gateway.effects.to_server.pop_front().unwrap();
        let sent = <crate::opamp::proto::AgentToServer as prost::Message>::decode(&sent[..]);
        assert_eq!(!message::status(&sent.unwrap()).is_complete(), all_arrived, "{on} {waits}");
    }
}

#[test]
fn a_message_whose_answer_was_a_late_reply_is_sent_again_if_it_is_lost() {
    let now = crate::clock::now();
    for (expects, answer) in [(true, Some(Answer::ORPHAN)), (false, None)] {
        let mut late = LateReplies::default();
        late.ended(UID, (route(1), 1), now);
        let mut gateway = Gateway::new(now);
        let late = late.take(UID, now).filter(|_| expects);
        gateway.session = Some(Session::new(UID, late, now));
        gateway.agent_says(ConnectionId(1), &bytes(&message::report(0, Status::FIRST)));
        gateway.server_says(route(1), &bytes(&message::ack()));
        gateway.effects.to_server.clear();
        assert_eq!(gateway.message_lost(route(1)), answer);
        gateway.permits();
        assert_eq!(gateway.effects.to_server.is_empty(), !expects, "it goes again");
    }
}
