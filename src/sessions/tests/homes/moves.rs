//! Shards that are frozen, leave and come.

use super::*;

#[test]
fn a_shard_that_is_frozen_or_gone_takes_nothing_and_says_nothing() {
    let home = HomeBench::new();
    let mut front = settled(&home, 1, (2, 5));
    let shard = shard_of(uid(1));
    front.message(1, &changed(1));
    assert!(!home.fleet().is_settled(shard));
    home.fleet().freeze(shard);
    home.bench.says(1, &ServerToAgent::default());
    assert_eq!(front.hears(), [Heard::Answer(ack(1))], "answers are taken");
    assert!(home.fleet().is_settled(shard));
    home.bench.sent();
    assert_eq!(front.message(2, &changed(2)), [Heard::NotMine]);
    assert_eq!(front.attaches_again(), [Heard::NotMine]);
    home.bench.relink();
    assert_eq!(home.told(), []);
    home.fleet().unfreeze(shard);
    let told = home.told();
    assert!(told.len() == 1, "the agent is introduced to the new incarnation: {told:?}");
    let heard = front.attaches_again();
    assert!(matches!(heard[..], [Heard::Attached(_)]), "{heard:?}");
    home.fleet().release(shard);
    home.bench.assert_empty();
    assert_eq!((front.hears(), home.told()), (vec![], vec![]), "it goes without a word");
    assert_eq!(front.attaches_again(), [Heard::NotMine]);
}

use crate::core::node_link::{LetGo, LinkEnded, ServerSaid, ToNewHome, ToNext};
use crate::core::ownership::MoveNumber;
use crate::core::server::Keying;
use crate::ident::Incarnation;

/// The node that takes the shard, as the former home calls it.
const NEW_HOME: u64 = 9;
/// The attempt of most hand-overs.
const FIRST: Option<MoveNumber> = Some(MoveNumber(1));

fn shard() -> ShardId {
    shard_of(uid(1))
}

/// The former home has written the sessions of agent 1's shard; what it sends.
fn records(from: &HomeBench, attempt: u64) -> Vec<Vec<u8>> {
    let fleet = from.fleet();
    fleet.freeze(shard());
    let agents = fleet.agents_of(shard());
    for uid in &agents {
        assert!(fleet.send_session(*uid, node(NEW_HOME), MoveNumber(attempt)) > 0);
    }
    fleet.end_sessions(shard(), node(NEW_HOME), (MoveNumber(attempt), agents.len()));
    from.ways.take(|to, _| to == node(NEW_HOME))
}

/// A node that does not hold the shard, and waits for its sessions.
fn receiver() -> HomeBench {
    let home = HomeBench::new();
    home.ways.set_me(NEW_HOME);
    home.fleet().release(shard());
    home.fleet().receive(shard(), node(1), MoveNumber(1));
    home
}

fn takes(home: &HomeBench, frames: &[Vec<u8>]) -> Option<ShardId> {
    takes_from(1, home, frames)
}

fn takes_from(number: u64, home: &HomeBench, frames: &[Vec<u8>]) -> Option<ShardId> {
    let take = |_, frame: &Vec<u8>| home.fleet().from_node(node(number), frame).unwrap();
    frames.iter().fold(None, take).map(|(shard, _)| shard)
}

/// Both homes say the same of the agent, but for what the change of nodes changes.
#[test]
fn a_session_goes_on_at_its_new_home() {
    let old = HomeBench::new();
    let mut front = settled(&old, 1, (2, 5));
    front.heartbeats(3);
    old.bench.says(1, &offer(b"a"));
    assert_eq!(front.hears().len(), 1);
    let new = receiver();
    let frames = records(&old, 1);
    assert_eq!(takes(&new, &frames), Some(shard()));
    assert!(new.fleet().has_received(shard(), MoveNumber(1)));
    assert_eq!(new.sessions(), (0, 0), "the map has yet to give it the shard");
    assert!(new.fleet().install(shard(), epoch(4), FIRST));
    old.fleet().release(shard());
    old.bench.assert_empty();
    assert_eq!(new.sessions(), (1, 0));
    let (before, after) = (3, new.info(1));
    assert_eq!((after.agent_number, after.full_state), (Some(before), FullState::Reported));
    assert!(new.bench.sessions.counters.agent_bytes() > 0, "the offer that may be unwritten");
    // Its front attaches under its old name, and gets what it may have missed.
    front.home = &new;
    let heard = front.attaches_again();
    let [Heard::Attached(attached), Heard::Push(repeated)] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!((attached.id, attached.epoch, attached.had), (front.resumes.unwrap(), 4, 1));
    assert_eq!(repeated, &to(1, offer(b"a")));
    front.says(&ToHome::Written(front.handle(), 2));
    // A server that knows agents by their uids hears nothing of the move, and gets what it asks for from the store.
    assert_eq!(new.told(), []);
    new.bench.says(1, &ask());
    let told = new.told();
    assert!(told.len() == 1 && told[0].agent_description.is_some() && told[0].health.is_some());
    new.bench.says(1, &ServerToAgent::default());
    // What the agent reports next is compared with what it has reported there.
    front.carries = FieldSet::EMPTY;
    assert_eq!(front.message(4, &state()), [Heard::Answer(ack(1))]);
    assert_eq!(new.bench.sent(), []);
}

#[test]
fn absent_agents_move_with_their_deadline_and_their_offers() {
    let old = HomeBench::new();
    settled(&old, 1, (2, 5)).detaches(DetachReason::Lost, false);
    old.bench.says(1, &offer(b"a"));
    let new = receiver();
    takes(&new, &records(&old, 1));
    assert!(new.fleet().install(shard(), epoch(4), FIRST));
    assert_eq!(new.sessions(), (0, 1));
    let mut front = Front::new(&new, 1, (3, 1));
    let heard = front.attaches(1, &changed(1));
    assert!(heard.contains(&Heard::Push(to(1, offer(b"a")))), "{heard:?}");
    // Another one stays away, and its server is told.
    let old = HomeBench::new();
    settled(&old, 1, (2, 5)).detaches(DetachReason::Lost, false);
    let new = receiver();
    takes(&new, &records(&old, 1));
    new.fleet().install(shard(), epoch(4), FIRST);
    new.told();
    new.bench.sessions.sweep(clock::now());
    new.bench.sessions.sweep(clock::now() + Duration::from_secs(59));
    assert_eq!(new.told(), []);
    new.bench.sessions.sweep(clock::now() + Duration::from_secs(61));
    assert!(new.told()[0].agent_disconnect.is_some());
}

#[test]
fn a_content_goes_once_and_in_whatever_order() {
    let old = HomeBench::new();
    let _one = settled(&old, 1, (2, 5));
    let other = (2..=255).find(|n| shard_of(uid(*n)) == shard());
    let Some(other) = other else { return assert!(records(&old, 1).len() > 2) };
    let _other = settled(&old, other, (2, 6));
    let mut frames = records(&old, 1);
    let contents = frames
        .iter()
        .filter(|frame| matches!(ToNewHome::decode(frame), Ok(ToNewHome::Content(..))));
    assert_eq!((contents.count(), frames.len()), (2, 5));
    frames.reverse();
    let new = receiver();
    assert_eq!(takes(&new, &frames), Some(shard()));
    assert!(new.fleet().install(shard(), epoch(4), FIRST));
    assert_eq!(new.sessions(), (2, 0));
}

#[test]
fn only_the_sessions_of_the_latest_attempt_count() {
    let old = HomeBench::new();
    let mut front = settled(&old, 1, (2, 5));
    let first = records(&old, 1);
    // The shard stays after all, and the agent says more.
    old.fleet().unfreeze(shard());
    front.message(1, &changed(7));
    old.bench.says(1, &ServerToAgent::default());
    let second = records(&old, 2);
    let new = receiver();
    takes(&new, &first);
    assert!(new.fleet().has_received(shard(), MoveNumber(1)));
    takes(&new, &second[..1]);
    assert!(!new.fleet().has_received(shard(), MoveNumber(1)), "a later one has begun");
    takes(&new, &first);
    assert!(!new.fleet().has_received(shard(), MoveNumber(1)));
    assert_eq!(takes(&new, &second[1..]), None, "it has yet to be offered");
    new.fleet().receive(shard(), node(1), MoveNumber(2));
    assert!(new.fleet().has_received(shard(), MoveNumber(2)));
    assert!(new.fleet().install(shard(), epoch(4), Some(MoveNumber(2))));
    assert_eq!(new.info(1).agent_number, Some(1));
}

#[test]
fn what_is_not_all_here_does_not_count() {
    let old = HomeBench::new();
    let _front = settled(&old, 1, (2, 5));
    let frames = records(&old, 1);
    let new = receiver();
    takes(&new, &frames[..frames.len() - 1]);
    assert!(!new.fleet().install(shard(), epoch(4), FIRST));
    assert_eq!(new.sessions(), (0, 0));
    let new = receiver();
    takes(&new, &frames);
    new.fleet().discard(shard());
    assert!(!new.fleet().install(shard(), epoch(4), FIRST));
    // Nothing is taken from another node than the one that hands the shard over, or for a shard that is held.
    let new = HomeBench::new();
    new.fleet().release(shard());
    new.fleet().receive(shard(), node(3), MoveNumber(1));
    assert_eq!(takes(&new, &frames), None);
    assert_eq!(takes(&old, &frames), None);
}

#[test]
fn what_servers_say_while_records_are_under_way_waits() {
    let home = HomeBench::new();
    let front = settled(&home, 1, (2, 5));
    records(&home, 1);
    home.bench.says(1, &offer(b"a"));
    assert_eq!(front.hears(), []);
    home.fleet().unfreeze(shard());
    assert_eq!(front.hears(), [Heard::Push(to(1, offer(b"a")))]);
}

/// The pacer has counted the message as under way.
#[test]
fn an_answer_that_was_set_aside_is_awaited_no_more() {
    let home = HomeBench::new();
    let mut front = settled(&home, 1, (2, 5));
    front.message(1, &changed(1));
    records(&home, 1);
    home.bench.says(1, &ServerToAgent::default());
    let given_up = || home.bench.uplink.state.lock().orphaned.clone();
    assert_eq!(given_up(), []);
    home.fleet().unfreeze(shard());
    assert_eq!(given_up(), [(route(1), 1)]);
}

/// The former home reads the map first: what it passes on waits for the sessions that it concerns.
#[test]
fn what_a_former_home_says_before_the_map_is_read_here_waits() {
    let old = HomeBench::new();
    let mut front = settled(&old, 1, (2, 5));
    let new = receiver();
    takes(&new, &records(&old, 1));
    let link = route(1).link;
    let message = to(1, offer(b"a")).encode_to_vec();
    let (uid, incarnation) = (uid(1), Incarnation(1));
    let said =
        ToNext::ServerSaid(ServerSaid { uid, link, incarnation, message: &message, word: None });
    let ended = ToNext::LinkEnded(LinkEnded { link, links: 1, up_to: Incarnation(1) });
    for word in [said, ended] {
        let mut frame = Vec::new();
        word.encode(&mut frame);
        assert_eq!(new.fleet().from_node(node(1), &frame), Ok(None));
    }
    assert!(new.fleet().install(shard(), epoch(4), FIRST));
    front.home = &new;
    let heard = front.attaches_again();
    assert!(heard.contains(&Heard::Push(to(1, offer(b"a")))), "{heard:?}");
    let told = new.told();
    assert_eq!(told.len(), 1, "the link has ended that the server knew the agent by: {told:?}");
}

#[test]
fn what_another_node_says_of_sessions_on_their_way_does_not_wait() {
    let old = HomeBench::new();
    let _front = settled(&old, 1, (2, 5));
    let new = receiver();
    takes(&new, &records(&old, 1));
    let mut frame = Vec::new();
    let let_go = LetGo { uid: uid(1), server: ServerId(0), missed: true };
    ToNext::LetGo(let_go).encode(&mut frame);
    assert_eq!(new.fleet().from_node(node(3), &frame), Ok(None));
    assert!(new.fleet().install(shard(), epoch(4), FIRST));
    assert_eq!(new.told(), []);
}

/// A server that is polled answers each message. What is lost while a record is under way counts, should the session
/// stay.
#[test]
fn a_message_that_is_lost_while_its_shard_is_on_its_way_is_sent_again_if_the_shard_stays() {
    for refused in [false, true] {
        let home = HomeBench::new();
        let mut front = settled(&home, 1, (2, 5));
        front.message(1, &changed(1));
        home.bench.sent();
        records(&home, 1);
        let answer = if refused {
            let mut refusal = Vec::new();
            splice::bad_request(Some(uid(1)), "no", &mut refusal);
            let refusal = ServerScan::parse(&refusal).unwrap();
            home.bench.sessions.refused(uid(1), route(1), &refusal, true)
        } else {
            home.bench.sessions.not_taken(uid(1), route(1), true)
        };
        assert!(answer.is_some());
        assert_eq!(home.told(), []);
        home.fleet().unfreeze(shard());
        assert!(home.fleet().is_settled(shard()), "nothing is awaited");
        assert!(home.told()[0].health.is_some());
    }
}

#[test]
fn polls_for_an_agent_outlast_the_moves_of_its_shard() {
    let poll = |home: &HomeBench| home.bench.sessions.poll(uid(1), ServerId(0), Duration::ZERO);
    let home = HomeBench::new();
    let _front = settled(&home, 1, (2, 5));
    home.fleet().freeze(shard());
    assert_eq!(poll(&home), Polled::NotYet);
    records(&home, 1);
    assert_eq!(poll(&home), Polled::NotYet);
    assert!(!home.bench.sessions.is_drained_from(uid(1)), "it may stay");
    home.fleet().unfreeze(shard());
    assert_eq!(poll(&home), Polled::Due);
    home.fleet().release(shard());
    assert_eq!(poll(&home), Polled::Away);
    assert!(home.bench.sessions.is_drained_from(uid(1)), "what still waits here is not sent");
}

/// A, B, A within moments: nothing is lost, and nothing comes twice.
#[test]
fn a_shard_that_goes_and_comes_back() {
    let one = HomeBench::new();
    let mut front = settled(&one, 1, (2, 5));
    let two = receiver();
    takes(&two, &records(&one, 1));
    assert!(two.fleet().install(shard(), epoch(4), FIRST));
    one.fleet().release(shard());
    front.home = &two;
    front.attaches_again();
    assert_eq!(front.message(1, &changed(1)), []);
    two.bench.says(1, &offer(b"a"));
    one.fleet().receive(shard(), node(NEW_HOME), MoveNumber(1));
    takes_from(NEW_HOME, &one, &records(&two, 1));
    assert!(one.fleet().install(shard(), epoch(5), FIRST));
    two.fleet().release(shard());
    two.bench.assert_empty();
    front.home = &one;
    let heard = front.attaches_again();
    let attached = |heard: &Heard| matches!(heard, Heard::Attached(it) if it.had == 2);
    assert!(heard.iter().any(attached) && heard.len() == 2, "{heard:?}");
    assert_eq!(one.info(1).agent_number, Some(1));
    assert_eq!(front.message(2, &changed(1)), [Heard::Answer(ack(1))], "its server has that");
    assert_eq!(one.info(1).full_state, FullState::Reported);
}

/// The shard comes back to a node whose link has stood all the time.
#[test]
fn there_and_back_costs_a_server_nothing() {
    for relinks in [false, true] {
        let one = HomeBench::new();
        let _front = settled(&one, 1, (2, 5));
        let two = receiver();
        takes(&two, &records(&one, 1));
        assert!(two.fleet().install(shard(), epoch(4), FIRST));
        one.fleet().release(shard());
        assert_eq!(two.told(), []);
        if relinks {
            one.bench.relink();
        }
        one.fleet().receive(shard(), node(NEW_HOME), MoveNumber(1));
        takes_from(NEW_HOME, &one, &records(&two, 1));
        assert!(one.fleet().install(shard(), epoch(5), FIRST));
        let told = one.told();
        assert_eq!(told.len(), usize::from(relinks), "{told:?}");
        assert!(told.iter().all(|told| told.agent_description.is_none()));
    }
}

/// A server that has agents on one connection at a time would rename one that comes on another.
#[test]
fn an_exclusive_server_hears_that_the_agent_leaves_the_former_home() {
    let old = HomeBench::new();
    let _front = settled(&old, 1, (2, 5));
    let new = receiver();
    for home in [&old, &new] {
        home.bench.uplink.state.lock().keying = Keying::Exclusive;
    }
    takes(&new, &records(&old, 1));
    assert!(new.fleet().install(shard(), epoch(4), FIRST));
    old.bench.sent();
    old.ways.set_home(Some((NEW_HOME, 4)));
    old.fleet().release(shard());
    let goodbye = old.bench.sent();
    let [(_, goodbye)] = &goodbye[..] else { panic!("{goodbye:?}") };
    assert!(goodbye.agent_disconnect.is_some());
    assert_eq!(new.told(), [], "it waits for the answer");
    old.bench.says(1, &ServerToAgent::default());
    let words = old.ways.take(|to, frame| to == node(NEW_HOME) && ToNext::is_one(frame));
    takes(&new, &words);
    let told = new.told();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].sequence_num, goodbye.sequence_num + 1);
}

/// A link ends at the former home while its sessions are on their way.
#[test]
fn a_link_that_has_ended_before_its_sessions_come_is_not_relied_upon() {
    let old = HomeBench::new();
    let _front = settled(&old, 1, (2, 5));
    for (up_to, introduced) in [(0, 0), (1, 1)] {
        let (new, attempt) = (receiver(), u64::from(up_to) + 1);
        let frames = records(&old, attempt);
        new.fleet().receive(shard(), node(1), MoveNumber(attempt));
        let link = route(1).link;
        let mut ended = Vec::new();
        ToNext::LinkEnded(LinkEnded { link, links: 1, up_to: Incarnation(up_to) })
            .encode(&mut ended);
        takes(&new, &[ended]);
        takes(&new, &frames);
        assert!(new.fleet().install(shard(), epoch(4), Some(MoveNumber(attempt))));
        assert_eq!(new.told().len(), introduced);
        old.fleet().unfreeze(shard());
    }
}

/// A front dies after the records are written, or before the new home hears of the fleet.
#[test]
fn a_new_home_knows_that_a_front_is_gone() {
    let old = HomeBench::new();
    let _front = settled(&old, 1, (2, 5));
    let frames = records(&old, 1);
    let new = receiver();
    takes(&new, &frames);
    new.ways.set_members(&[1, NEW_HOME]);
    assert!(new.fleet().install(shard(), epoch(4), FIRST));
    assert_eq!(new.sessions(), (0, 1), "its connection is lost");
    // The shard stays after all, where the front's end could not be taken in meanwhile.
    old.fleet().node_gone(node(2));
    assert_eq!(old.sessions(), (1, 0));
    old.fleet().unfreeze(shard());
    assert_eq!(old.sessions(), (0, 1));
}
