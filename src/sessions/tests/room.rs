//! Who gives way to whom when room is used up.

use super::super::room::is_short_of_room;
use super::*;

fn bench(total: usize) -> Bench {
    let params = SessionsParams { outbox_total_bytes_max: total, ..SessionsParams::default() };
    Bench::new(params)
}

#[test]
fn offers_for_absent_agents_give_way_to_what_present_ones_are_sent() {
    let bench = bench(6_000);
    for n in 1..=5 {
        Agent::first(&bench, n, u64::from(n)).attachment = None;
        bench.says(n, &offer(&[0; 1_000]));
    }
    let present = Agent::first(&bench, 9, 9);
    bench.says(9, &offer(&[0; 1_500]));
    assert_eq!(present.reads().len(), 1, "it is brought, and its connection stays");
    let counters = &bench.sessions.counters;
    assert!(counters.absent_bytes() > 4_000 && counters.absent_bytes() < 4_500);
    bench.sent();
    // The longest stored went.
    let mut back = Agent { number: 1, ..Agent::new(&bench, 1, 11) };
    back.says(heartbeat());
    assert_eq!(back.reads(), []);
    bench.permits();
    assert!(bench.sent().iter().any(|(_, message)| message.agent_description.is_some()));
    let mut back = Agent { number: 1, ..Agent::new(&bench, 5, 15) };
    back.says(heartbeat());
    assert_eq!(back.reads().len(), 1, "the last stored waits");
}

#[test]
fn no_connection_closes_for_others_bytes() {
    let bench = bench(6_000);
    let (mute, reads) = (Agent::first(&bench, 1, 1), Agent::first(&bench, 2, 2));
    bench.says(1, &offer(&[0; 4_000]));
    assert!(matches!(mute.looks(), Outgoing::Bytes(_)));
    // Its task has it, and its socket takes none of it.
    assert!(bench.sessions.counters.present_bytes() > 4_000);
    assert!(!is_short_of_room(&bench.sessions));
    bench.says(1, &offer(&[0; 600]));
    assert!(is_short_of_room(&bench.sessions), "with its copy");
    bench.says(2, &offer(&[0; 2_000]));
    assert_eq!(reads.reads(), [], "it is dropped, and the connection stays");
    bench.says(2, &offer(b"small"));
    assert_eq!(reads.reads().len(), 1);
    drop(mute);
    bench.says(2, &offer(&[0; 1_000]));
    assert_eq!(reads.reads().len(), 1);
}

#[test]
fn bytes_are_counted_until_the_socket_has_them() {
    let bench = bench(1 << 20);
    let agent = Agent::first(&bench, 1, 1);
    bench.says(1, &offer(&[0; 2_000]));
    let counters = &bench.sessions.counters;
    assert!(matches!(agent.looks(), Outgoing::Bytes(_)));
    assert!(counters.agent_bytes() > 2_000);
    agent.attachment.as_ref().unwrap().left_to_write(500);
    assert_eq!(counters.agent_bytes(), 500);
    drop(agent);
    assert!(counters.agent_bytes() > 2_000, "the offer waits for its return");
    let answer = AnswerBytes::try_new(&bench.sessions, vec![0; 3_000]).unwrap();
    assert!(counters.agent_bytes() > 5_000);
    let answer = answer.replaced_by(vec![0; 10]);
    assert!(counters.agent_bytes() < 3_000);
    let before = counters.agent_bytes();
    drop(answer);
    assert_eq!(counters.agent_bytes(), before - 10);
    assert!(AnswerBytes::try_new(&bench.sessions, vec![0; 2 << 20]).is_none(), "there is no room");
    assert!(AnswerBytes::try_new(&bench.sessions, vec![0; 1_000]).is_some());
}

#[test]
fn an_absent_agent_gives_its_place_in_the_table_to_a_newcomer() {
    let bench = Bench::new(SessionsParams { sessions_max: 2, ..SessionsParams::default() });
    let one = Agent::first(&bench, 1, 1);
    drop(Agent::first(&bench, 2, 2));
    let mut three = Agent::new(&bench, 3, 3);
    assert!(three.tries_to_say(full()).is_ok());
    let told = bench.sent();
    assert!(
        told.iter()
            .any(|(agent, message)| { *agent == uid(2) && message.agent_disconnect.is_some() })
    );
    let mut four = Agent::new(&bench, 4, 4);
    assert!(matches!(four.tries_to_say(full()), Err(Rejected::Full)), "both are there");
    assert_eq!(bench.sessions.count(), (2, 0));
    drop(one);
}

#[test]
fn an_agent_stays_unread_while_its_custom_messages_wait() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    let may_read = |agent: &Agent<'_>| agent.attachment.as_ref().unwrap().may_read();
    bench.busy(true);
    for n in 0..ONE_SHOTS_MAX {
        assert!(may_read(&agent), "{n}");
        agent.says(custom(&[0]));
    }
    assert!(!may_read(&agent));
    assert!(matches!(agent.looks(), Outgoing::Nothing { .. }));
    agent.woken.is_set();
    for n in 1..=ONE_SHOTS_MAX / 2 {
        assert!(!may_read(&agent) && !agent.woken.is_set(), "{n}");
        bench.permits();
    }
    assert!(may_read(&agent) && agent.woken.is_set());
}
