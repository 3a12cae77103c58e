//! Permits: what waits for a server is sent when its link is there, and every session gets its permit.

use super::*;

#[test]
pub(super) fn what_could_not_be_sent_goes_when_the_link_is_back() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    bench.refuse(NotSent::Down);
    assert_eq!(agent.says(health()), [ack(1)], "acknowledged all the same");
    bench.permits();
    assert_eq!(agent.reads(), [], "the agent is not asked for what it has said");
    bench.relink();
    bench.permits();
    let sent = bench.sent();
    assert!(sent[0].1.health.is_some() && sent[0].1.agent_description.is_none());
    assert_eq!(sent[0].1.capabilities, 1);
}

#[test]
pub(super) fn what_a_busy_server_has_no_time_for_goes_with_a_permit_and_the_newest_state_wins() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    bench.busy(true);
    assert_eq!(agent.says(health()), [ack(1)]);
    assert_eq!(agent.says(health()), [ack(1)], "acknowledged, and in the queue once");
    assert_eq!(bench.sent(), []);
    assert_eq!(bench.permits(), [PermitUse::Used]);
    let sent = bench.sent();
    assert_eq!(sent[0].1.health.as_ref().unwrap().start_time_unix_nano, 2);
    assert_eq!(sent.len(), 1);
    bench.busy(false);
    bench.says(1, &ServerToAgent::default());
    assert_eq!(agent.reads(), [], "a late acknowledgement is swallowed");
}

#[test]
pub(super) fn custom_messages_wait_in_order_and_are_counted() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    bench.refuse(NotSent::Full);
    for data in [b"1", b"2", b"3"] {
        agent.says(custom(data));
    }
    assert!(bench.sessions.counters.server_bytes() > 0);
    assert_eq!(bench.permits(), [PermitUse::Again]);
    bench.refuse(None);
    agent.says(custom(b"4"));
    (0..4).for_each(|_| assert_eq!(bench.permits(), [PermitUse::Used], "one message a turn"));
    let sent = bench.sent();
    let data = sent.iter().map(|(_, m)| &m.custom_message.as_ref().unwrap().data[..]);
    assert_eq!(data.collect::<Vec<_>>(), [b"1", b"2", b"3", b"4"]);
    let numbers: Vec<_> = sent.iter().map(|(_, m)| m.sequence_num).collect();
    assert_eq!(numbers, [1, 2, 3, 4]);
    assert_eq!(bench.sessions.counters.server_bytes(), 0);
}

#[test]
pub(super) fn a_session_that_leaves_while_its_link_is_down_goes_when_the_link_is_back() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    bench.refuse(NotSent::Down);
    agent.says(custom(b"last words"));
    agent.says(goodbye());
    drop(agent);
    assert_eq!(bench.sessions.count(), (0, 1));
    bench.permits();
    assert!(bench.sent().is_empty());
    bench.relink();
    bench.permits();
    bench.permits();
    let sent = bench.sent();
    assert!(sent[0].1.custom_message.is_some() && sent[1].1.agent_disconnect.is_some());
    bench.assert_empty();
}

#[test]
pub(super) fn a_permit_is_not_lost_when_the_link_comes_back_while_it_is_skipped() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    bench.refuse(NotSent::Down);
    agent.says(health());
    let queued = || bench.sessions.info(uid(1)).unwrap().queued;
    assert!(queued().contains(Class::Change));
    // It has come back between the look that made its turn be skipped, and the skipping.
    assert!(!bench.sessions.skip_permit(uid(1), Class::Change, &|| false));
    assert!(queued().contains(Class::Change), "it still has its turn");
    assert!(bench.sessions.skip_permit(uid(1), Class::Change, &|| true));
    assert!(queued().is_empty());
    assert_eq!(bench.sessions.enqueue_all(&|_| true), 1, "the link's return brings it another");
    assert_eq!(bench.sessions.enqueue_all(&|_| true), 0, "and one only");
}

#[test]
pub(super) fn agents_are_introduced_to_a_server_that_is_back() {
    let bench = Bench::default();
    let _here = Agent::first(&bench, 1, 1);
    Agent::first(&bench, 2, 2).attachment = None;
    bench.relink();
    assert_eq!(bench.permits(), [PermitUse::Used; 2], "also one that is away for a moment");
    let mut sent: Vec<_> = bench.sent().into_iter().map(|(uid, m)| (uid, m.sequence_num)).collect();
    sent.sort();
    assert_eq!(sent, [(uid(1), 1), (uid(2), 1)]);
    assert_eq!(bench.sessions.enqueue_all(&|_| true), 0);
}

#[test]
pub(super) fn a_permit_for_an_unknown_agent_is_idle() {
    let bench = Bench::default();
    assert_eq!(bench.sessions.permit_granted(uid(1), Class::FullState), PermitUse::Idle);
    assert!(bench.sessions.skip_permit(uid(1), Class::Change, &|| true));
}

#[test]
pub(super) fn an_answer_to_a_session_that_has_ended_does_not_pass_for_one_to_the_next() {
    let bench = Bench::default();
    let mut agent = Agent::first(&bench, 1, 1);
    agent.says(goodbye());
    let mut back = Agent::new(&bench, 1, 2);
    back.says(full());
    bench.says(1, &ServerToAgent::default());
    back.says(health());
    bench.sent();
    // That was the farewell's answer, and this is the first report's: what else has arrived?
    bench.says(1, &ServerToAgent::default());
    bench.relink();
    bench.permits();
    let sent = bench.sent();
    assert!(sent[0].1.agent_description.is_some() && sent[0].1.health.is_some(), "{sent:?}");
}

#[test]
pub(super) fn a_session_whose_messages_are_all_answered_leaves_no_late_replies() {
    let bench = Bench::default();
    Agent::first(&bench, 1, 1).says(goodbye());
    bench.says(1, &ServerToAgent::default());
    let mut back = Agent::new(&bench, 1, 2);
    back.says(full());
    bench.says(1, &ServerToAgent::default());
    bench.relink();
    bench.sent();
    bench.permits();
    assert_eq!(bench.sent()[0].1.agent_description, None, "it has arrived: a touch will do");
}
