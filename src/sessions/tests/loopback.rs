//! The scenarios of a node that is alone, on a node that is a fleet of itself: its agents' connections are at its
//! fronts, their sessions at its homes, and between the two goes the loopback.

use std::cell::Cell;

use super::ways::{FakeWays, ME, epoch};
use super::*;
use crate::core::ownership::ShardId;

thread_local! {
    /// Tables that this thread makes are of a fleet.
    static IN_FLEET: Cell<bool> = const { Cell::new(false) };
}

/// Has the sessions join a fleet of one, if the scenario asks for it.
pub(super) fn join(sessions: &Sessions) {
    if is_joined() {
        fleet_of_one(sessions);
    }
}

/// A fleet of this node alone, which is every agent's home.
pub(crate) fn fleet_of_one(sessions: &Sessions) {
    let ways = Arc::<FakeWays>::default();
    ways.set_home(Some((ME, 1)));
    sessions.join_fleet(ways);
    let fleet = sessions.in_fleet().unwrap();
    for shard in ShardId::all() {
        fleet.install(shard, epoch(1), None);
    }
    fleet.homes_changed();
}

/// Whether the scenario asks for it.
pub(super) fn is_joined() -> bool {
    IN_FLEET.get()
}

fn in_a_fleet(scenario: fn()) {
    IN_FLEET.set(true);
    scenario();
}

macro_rules! in_a_fleet {
    ($( $module:ident { $( $scenario:ident, )+ } )+) => { $(
        mod $module { $(
            #[test]
            fn $scenario() {
                super::in_a_fleet(super::super::$module::$scenario);
            }
        )+ }
    )+ };
}

in_a_fleet! {
    websocket {
        a_message_goes_to_its_agent_only,
        what_comes_wakes_the_task,
        the_servers_own_reply_if_it_comes_soon_else_the_gateways,
        every_agent_hears_what_the_server_can,
        offers_wait_and_are_delivered_to_the_new_connection_only,
        the_newest_connection_wins,
        bytes_for_all_agents_have_a_bound_stored_offers_included,
        an_agent_that_comes_back_when_all_room_is_used_up_gets_what_waited,
        a_full_table_refuses_newcomers_and_knows_the_others,
        the_end_of_the_grace_period_is_told_and_the_session_goes,
        an_agent_that_waits_for_admission_is_not_given_up,
        an_earlier_sessions_deadline_is_not_the_next_ones,
        a_renamed_agents_old_session_ends_when_it_speaks_under_its_new_uid,
    }
    http {
        the_servers_own_reply_if_it_comes_soon,
        what_comes_late_is_in_the_next_reply,
        a_command_goes_alone,
        of_two_requests_the_newer_waits_and_the_older_is_answered,
        a_request_and_a_websocket_do_not_take_each_others_replies,
        a_request_given_up_holds_nothing,
        a_clean_disconnect_over_plain_http,
        an_agent_that_stops_polling_has_left,
    }
    permits {
        what_could_not_be_sent_goes_when_the_link_is_back,
        what_a_busy_server_has_no_time_for_goes_with_a_permit_and_the_newest_state_wins,
        custom_messages_wait_in_order_and_are_counted,
        a_session_that_leaves_while_its_link_is_down_goes_when_the_link_is_back,
        a_permit_is_not_lost_when_the_link_comes_back_while_it_is_skipped,
        agents_are_introduced_to_a_server_that_is_back,
        a_permit_for_an_unknown_agent_is_idle,
        an_answer_to_a_session_that_has_ended_does_not_pass_for_one_to_the_next,
        a_session_whose_messages_are_all_answered_leaves_no_late_replies,
    }
    posts {
        what_was_not_taken_is_sent_again_and_the_agent_has_its_reply,
        what_a_server_refused_is_not_repeated_but_not_taken_for_known_either,
        what_another_incarnation_lost_is_not_lost_twice,
        a_poll_waits_for_one_permit_and_says_who_asks,
        no_poll_for_an_agent_that_is_elsewhere_or_gone,
        a_refusal_is_the_reply_and_what_was_refused_is_not_repeated,
        of_a_refused_message_that_said_nothing_a_waiting_agent_alone_is_told,
    }
    reports {
        an_unchanged_report_is_answered_here,
        only_what_changed_goes_on,
        what_was_not_sent_is_not_known,
        a_server_that_may_have_lost_it_gets_all_of_it,
        a_server_that_asks_is_answered_from_the_store,
        a_question_for_the_component_map_outlives_the_agents_connection,
        a_question_for_the_component_map_that_waits_for_the_agent_is_put_once,
        a_component_map_comes_from_the_store_or_else_from_the_agent,
        custom_messages_are_never_taken_for_unchanged,
        a_message_without_digests_goes_on_whole,
    }
}

#[test]
fn a_farewell_waits_until_all_replies_are_written() {
    IN_FLEET.set(true);
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    agent.says(health());
    bench.says(1, &offer(b"unread"));
    let mut replies = agent.says(health());
    replies.extend(agent.says(goodbye()));
    loop {
        match agent.looks() {
            Outgoing::Bytes(bytes) => replies.extend(agent.messages(bytes)),
            Outgoing::Left => break,
            other => panic!("{other:?}"),
        }
    }
    replies.append(&mut agent.pending.lock());
    assert_eq!(replies.len(), 3, "a reply to each message: {replies:?}");
    bench.assert_empty();
    drop(agent);
    bench.assert_empty();
}

#[test]
fn of_two_agents_of_one_uid_one_gets_another() {
    IN_FLEET.set(true);
    let bench = Bench::default();
    let mut agents = vec![Agent::first(&bench, 1, 1)];
    for connection in 2..=3 {
        let mut next = Agent::new(&bench, 1, connection);
        next.says(full());
        let former = agents.last().unwrap();
        assert!(matches!(former.looks(), Outgoing::Replaced));
        former.attachment.as_ref().unwrap().replaced_was_alive();
        agents.push(next);
    }
    let told = Agent::new(&bench, 1, 4).says(full());
    assert!(told[0].agent_identification.is_some(), "{told:?}");
    assert!(matches!(agents[2].looks(), Outgoing::Nothing { .. } | Outgoing::Bytes(_)));
}

#[test]
fn a_slow_reader_is_closed_and_found_out_when_it_is_back() {
    IN_FLEET.set(true);
    let bench = Bench::new(SessionsParams { outbox_bytes_max: 1000, ..SessionsParams::default() });
    let slow = Agent::first(&bench, 1, 1);
    bench.says(1, &offer(&[0; 5000]));
    assert!(bench.sessions.counters.agent_bytes() > 5000, "one message is always allowed");
    bench.says(1, &offer(b"one too many"));
    assert!(matches!(slow.looks(), Outgoing::Overflowed));
    let mut back = slow.returns(3);
    drop(slow);
    assert!(bench.sessions.counters.agent_bytes() < 100, "the later offer waits");
    back.says(heartbeat());
    assert_eq!(back.reads(), [to(1, offer(b"one too many"))]);
    assert_eq!(bench.sessions.counters.agent_bytes(), 0);
    assert!(bench.sent().is_empty(), "its server hears nothing of it");
}
