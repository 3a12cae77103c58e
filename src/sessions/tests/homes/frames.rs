//! What fronts say, and what the session makes of it.

use super::*;

#[test]
fn a_first_attach_with_its_message_goes_to_the_server_and_is_answered() {
    let home = HomeBench::new();
    let mut front = Front::new(&home, 1, (2, 5));
    let heard = front.attaches(0, &state());
    let [Heard::Attached(attached)] = heard[..] else { panic!("{heard:?}") };
    assert_eq!((attached.had, attached.epoch, attached.needs), (1, 3, FieldSet::EMPTY));
    let sent = home.bench.sent();
    let expected = numbered(&state(), 1, 0);
    assert_eq!(sent, [(uid(1), AgentToServer::decode(&expected[..]).unwrap())]);
    assert!(matches!(home.info(1).presence, Presence::Connected { .. }));
    home.bench.says(1, &ServerToAgent::default());
    assert_eq!(front.hears(), [Heard::Answer(ack(1))]);
    assert_eq!(home.sessions(), (1, 0));
}

#[test]
fn parts_that_are_not_known_are_asked_for_and_the_known_come_from_the_store() {
    let home = HomeBench::new();
    let mut front = Front::new(&home, 1, (2, 5));
    front.carries = FieldSet::EMPTY;
    let heard = front.attaches(0, &state());
    let [Heard::Attached(attached)] = heard[..] else { panic!("{heard:?}") };
    let parts = FieldSet::of(&[agent_field::AGENT_DESCRIPTION, agent_field::HEALTH]);
    assert_eq!((attached.had, attached.needs), (0, parts));
    front.carries = parts;
    let heard = front.message(0, &state());
    assert_eq!(heard, [Heard::Confirmed(1)]);
    home.bench.says(1, &ServerToAgent::default());
    assert_eq!(front.hears(), [Heard::Answer(ack(1)), Heard::Told(1)]);
    assert_eq!(home.bench.sent().len(), 1);
    // The same state once more, by its digests: the server has it.
    front.carries = FieldSet::EMPTY;
    let heard = front.message(1, &state());
    assert_eq!(heard, [Heard::Answer(ack(1))]);
    assert_eq!(home.bench.sent(), []);
    // The server forgets the agent: what it gets is whole, though it came as digests.
    home.bench.relink();
    let heard = front.message(2, &state());
    assert_eq!(heard, [], "the reply will confirm it");
    let sent = home.bench.sent();
    assert_eq!((&sent[0].1.health, sent[0].1.sequence_num), (&state().health, 1));
    assert!(sent[0].1.agent_description.is_some());
}

#[test]
fn digests_by_another_key_are_worth_nothing() {
    let home = HomeBench::new();
    let mut front = settled(&home, 1, (2, 5));
    home.fleet().set_digest_key(&DigestKey::derive(b"another"), 2);
    front.carries = FieldSet::EMPTY;
    let heard = front.message(1, &state());
    assert!(matches!(heard[..], [Heard::Needs(_)]));
    front.next -= 1;
    front.carries = FieldSet::of(&agent_field::STATE_PARTS);
    assert_eq!(front.message(1, &state()), []);
    assert_eq!(home.bench.sent().len(), 1, "it counts as changed, once");
    home.bench.says(1, &ServerToAgent::default());
    front.hears();
    assert_eq!(front.message(2, &state()), [Heard::Answer(ack(1))]);
}

#[test]
fn heartbeats_keep_the_number_and_losses_are_asked_for() {
    let home = HomeBench::new();
    let mut front = settled(&home, 1, (2, 5));
    assert_eq!(front.heartbeats(4), []);
    assert_eq!(home.info(1).agent_number, Some(4));
    assert_eq!(front.message(5, &changed(1)), []);
    assert_eq!(home.info(1).full_state, FullState::Reported);
    front.detaches(DetachReason::Lost, true);
    assert_eq!(home.info(1).full_state, FullState::Wanted);
    assert!(matches!(home.info(1).presence, Presence::Absent { .. }));
}

#[test]
fn offers_go_to_the_front_and_wait_for_an_agent_that_is_away() {
    let home = HomeBench::new();
    let front = settled(&home, 1, (2, 5));
    home.bench.says(1, &offer(b"a"));
    assert_eq!(front.hears(), [Heard::Push(to(1, offer(b"a")))]);
    assert!(home.bench.sessions.counters.agent_bytes() > 0);
    front.says(&ToHome::Written(front.handle(), 2));
    assert_eq!(home.bench.sessions.counters.agent_bytes(), 0);
    front.detaches(DetachReason::Lost, false);
    home.bench.says(1, &offer(b"b"));
    let mut front = Front::new(&home, 1, (3, 1));
    let heard = front.attaches(1, &changed(1));
    assert!(heard.contains(&Heard::Push(to(1, offer(b"b")))), "{heard:?}");
}

#[test]
fn an_offer_that_was_too_large_for_its_agent_goes_to_no_other_front() {
    let home = HomeBench::new();
    let front = settled(&home, 1, (2, 5));
    home.bench.says(1, &offer(&[b'a'; 300]));
    // It is not confirmed.
    front.detaches(DetachReason::TooLarge, false);
    home.bench.says(1, &offer(&[b'b'; 300]));
    let mut front = Front::new(&home, 1, (3, 1));
    let heard = front.attaches(1, &changed(1));
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Push(_))), "{heard:?}");
}

#[test]
fn an_agent_that_moves_to_another_front_takes_its_session_along() {
    let home = HomeBench::new();
    let former = settled(&home, 1, (2, 5));
    let mut front = Front::new(&home, 1, (3, 1));
    assert_eq!(front.attaches(1, &state()), [Heard::AskOpen]);
    front.says(&ToHome::Open(front.handle()));
    let heard = former.hears();
    assert!(matches!(heard[..], [Heard::Ping(_)]), "{heard:?}");
    // The former front finds that its connection is dead.
    former.detaches(DetachReason::Lost, false);
    let heard = front.hears();
    assert!(matches!(heard[..], [Heard::Attached(_)]), "{heard:?}");
    assert_eq!(front.message(1, &state()), [Heard::Answer(ack(1))]);
    assert_eq!((home.bench.sent(), home.sessions()), (vec![], (1, 0)));
}

#[test]
fn of_two_live_agents_with_one_uid_the_newcomer_gets_another() {
    let home = HomeBench::new();
    let first = settled(&home, 1, (2, 5));
    let mut second = Front::new(&home, 1, (3, 1));
    second.attaches(7, &state());
    second.says(&ToHome::Open(second.handle()));
    let heard = first.hears();
    let [Heard::Ping(question)] = heard[..] else { panic!("{heard:?}") };
    assert_eq!(first.says(&ToHome::Alive(first.handle(), question)), []);
    assert_eq!(second.hears(), [Heard::Close(CloseOrder::Cloned)]);
    assert_eq!(home.info(1).agent_number, Some(0));
}

#[test]
fn a_goodbye_ends_the_session() {
    let home = HomeBench::new();
    let mut front = settled(&home, 1, (2, 5));
    let heard = front.message(1, &goodbye());
    assert_eq!(heard, [Heard::Answer(ack(1)), Heard::Close(CloseOrder::Left)]);
    assert_eq!(home.bench.sent().len(), 1);
    home.bench.assert_empty();
    assert_eq!(front.message(2, &state()), [], "its front has closed it");
}

#[test]
fn a_request_is_attached_until_it_has_its_answer() {
    let home = HomeBench::new();
    let mut front = Front::new(&home, 1, (2, 5));
    front.transport = AgentConnection::PlainHttp;
    let heard = front.attaches(0, &state());
    assert!(matches!(heard[..], [Heard::Attached(_)]), "{heard:?}");
    home.bench.says(1, &offer(b"a"));
    assert_eq!(front.hears(), [Heard::Answer(to(1, offer(b"a")))]);
    assert_eq!(front.detaches(DetachReason::Answered, false), []);
    assert!(matches!(home.info(1).presence, Presence::Polling { waits: false, .. }));
    let mut next = Front::new(&home, 1, (3, 1));
    next.transport = AgentConnection::PlainHttp;
    let heard = next.attaches(1, &state());
    assert!(matches!(heard[..], [Heard::Attached(_), Heard::Answer(_)]), "{heard:?}");
    // The next one overtakes it.
    let mut last = Front::new(&home, 1, (2, 6));
    last.transport = AgentConnection::PlainHttp;
    last.attaches(2, &changed(1));
    assert_eq!(next.hears(), [Heard::Close(CloseOrder::Replaced)]);
    let later = clock::now() + Duration::from_secs(2);
    home.bench.sessions.sweep(later);
    assert_eq!(last.hears(), [], "by the session's own clock it is early");
}

#[test]
fn a_full_table_puts_newcomers_off() {
    let params = SessionsParams { sessions_max: 1, ..SessionsParams::default() };
    let (bench, ways) = (Bench::new(params), Arc::<FakeWays>::default());
    bench.sessions.join_fleet(Arc::clone(&ways) as _);
    let home = HomeBench { bench, ways };
    home.install(1);
    let _first = settled(&home, 1, (2, 5));
    let mut second = Front::new(&home, 2, (2, 6));
    assert_eq!(second.attaches(0, &state()), [Heard::Later]);
}
