//! Two homes of one shard, the former and the present one: what servers say on the former's links, and their end.

use std::time::Duration;

use super::ways::{FakeWays, HOME, ME, epoch, node};
use super::*;
use crate::clock;
use crate::core::node_link::{
    LetGo, LinkEnded, NamedWord, ServerSaid, ToNext, WordName, WordTaken,
};
use crate::core::ownership::ShardId;
use crate::core::server::Keying;
use crate::core::session::{Move, Peer, Session};
use crate::ident::LinkId;

/// A node that is the home of no shard.
fn former_home() -> (Bench, Arc<FakeWays>) {
    let (bench, ways) = (Bench::default(), Arc::<FakeWays>::default());
    ways.set_home(Some((HOME, 2)));
    bench.sessions.join_fleet(Arc::clone(&ways) as _);
    (bench, ways)
}

fn fleet(bench: &Bench) -> InFleet<'_> {
    bench.sessions.in_fleet().unwrap()
}

/// What the node has said to the agent's present home.
fn passed_on(ways: &FakeWays) -> Vec<Vec<u8>> {
    ways.take(|to, frame| to == node(HOME) && ToNext::is_one(frame))
}

fn offer() -> ServerToAgent {
    let remote_config = AgentRemoteConfig { config_hash: vec![3], ..AgentRemoteConfig::default() };
    ServerToAgent { remote_config: Some(remote_config), ..ServerToAgent::default() }
}

#[test]
fn what_servers_say_to_agents_that_have_moved_is_passed_on() {
    let (bench, ways) = former_home();
    assert_eq!(bench.says(1, &offer()), Delivered::Done);
    let frames = passed_on(&ways);
    let [frame] = &frames[..] else { panic!("{frames:?}") };
    let Ok(ToNext::ServerSaid(said)) = ToNext::decode(frame) else { panic!("{frame:?}") };
    assert_eq!((said.uid, said.link, said.incarnation), (uid(1), route(1).link, Incarnation(1)));
    let message = ServerToAgent::decode(said.message).unwrap();
    assert_eq!(message.remote_config, offer().remote_config);
}

#[test]
fn what_could_not_be_passed_on_waits_for_the_home() {
    let (bench, ways) = former_home();
    ways.set_home(None);
    assert_eq!(bench.says(1, &offer()), Delivered::Done);
    fleet(&bench).node_reached(node(HOME));
    assert!(passed_on(&ways).is_empty());
    ways.set_home(Some((HOME, 2)));
    fleet(&bench).homes_changed();
    let frames = passed_on(&ways);
    assert!(
        matches!(ToNext::decode(&frames[0]), Ok(ToNext::ServerSaid(said)) if said.uid == uid(1))
    );
    fleet(&bench).homes_changed();
    assert!(passed_on(&ways).is_empty(), "once");
}

/// The map names the sender still: the message waits until it is known where it belongs.
#[test]
fn what_another_node_passes_on_does_not_go_back_to_it() {
    let (bench, ways) = former_home();
    let message = offer().encode_to_vec();
    let (link, incarnation) = (route(1).link, Incarnation(1));
    let origin = node(4);
    let word = Some(NamedWord { name: WordName { origin, number: 7 }, settled: 0 });
    let said = ServerSaid { uid: uid(1), link, incarnation, message: &message, word };
    let mut frame = Vec::new();
    ToNext::ServerSaid(said).encode(&mut frame);
    fleet(&bench).from_node(node(HOME), &frame).unwrap();
    fleet(&bench).homes_changed();
    assert!(passed_on(&ways).is_empty());
    ways.set_home(Some((3, 3)));
    fleet(&bench).homes_changed();
    let further = ways.take(|to, frame| to == node(3) && ToNext::is_one(frame));
    assert!(further == [frame] && passed_on(&ways).is_empty());
}

#[test]
fn what_waited_too_long_for_a_home_is_told_when_it_is_back() {
    let (bench, ways) = former_home();
    ways.set_home(None);
    assert_eq!(bench.says(1, &ServerToAgent::default()), Delivered::Done);
    assert_eq!(bench.says(2, &offer()), Delivered::Done);
    bench.sessions.sweep(clock::now() + Duration::from_secs(31));
    fleet(&bench).node_reached(node(HOME));
    assert!(passed_on(&ways).is_empty());
    ways.set_home(Some((HOME, 2)));
    fleet(&bench).node_reached(node(HOME));
    let missed = LetGo { uid: uid(2), server: ServerId(0), missed: true };
    let frames = passed_on(&ways);
    assert_eq!(frames.len(), 1, "an acknowledgement is no loss");
    assert_eq!(ToNext::decode(&frames[0]), Ok(ToNext::LetGo(missed)));
}

#[test]
fn the_end_of_a_link_is_told_to_whom_it_concerns() {
    let (bench, ways) = former_home();
    let link = LinkId { server: ServerId(0), index: 1 };
    let ended = LinkEnded { link, links: 4, up_to: Incarnation(2) };
    fleet(&bench).server_link_ended(ended, None);
    fleet(&bench).server_link_ended(LinkEnded { links: 0, ..ended }, Some(uid(3)));
    let frames = passed_on(&ways);
    let said: Vec<ToNext<'_>> = frames.iter().map(|frame| ToNext::decode(frame).unwrap()).collect();
    let let_go = LetGo { uid: uid(3), server: ServerId(0), missed: false };
    assert_eq!(said, [ToNext::LinkEnded(ended), ToNext::LetGo(let_go)]);
}

#[test]
fn a_node_that_is_in_reach_again_learns_which_links_have_ended() {
    let (bench, ways) = former_home();
    bench.relink();
    fleet(&bench).node_reached(node(HOME));
    let frames = passed_on(&ways);
    let ended = LinkEnded { link: route(1).link, links: 1, up_to: Incarnation(1) };
    assert_eq!(frames.len(), 1);
    assert_eq!(ToNext::decode(&frames[0]), Ok(ToNext::LinkEnded(ended)));
}

/// What the node has passed on to a home, each with its name.
fn said_to(ways: &FakeWays, number: u64) -> Vec<(InstanceUid, Option<WordName>)> {
    let frames = ways.take(|to, frame| to == node(number) && ToNext::is_one(frame));
    let said = frames.iter().filter_map(|frame| match ToNext::decode(frame) {
        Ok(ToNext::ServerSaid(said)) => Some((said.uid, said.word.map(|word| word.name))),
        _ => None,
    });
    said.collect()
}

fn command() -> ServerToAgent {
    ServerToAgent { command: Some(ServerToAgentCommand::default()), ..ServerToAgent::default() }
}

#[test]
fn what_a_home_has_not_taken_goes_to_the_next_and_keeps_its_name() {
    let (bench, ways) = former_home();
    for n in [1, 1, 2] {
        assert_eq!(bench.says(n, &offer()), Delivered::Done);
    }
    let sent = said_to(&ways, HOME);
    let names: Vec<WordName> = sent.iter().map(|(_, name)| name.unwrap()).collect();
    let taken = ToNext::WordTaken(WordTaken { uid: uid(1), name: names[0] });
    from_home(&bench, HOME, &taken);
    // As long as the link lasts, its home passes on what it has.
    ways.set_home(Some((3, 3)));
    fleet(&bench).homes_changed();
    assert_eq!(bench.says(1, &offer()), Delivered::Done);
    assert_eq!(said_to(&ways, 3), [], "in their order");
    fleet(&bench).node_lost(node(HOME));
    fleet(&bench).homes_changed();
    let again = said_to(&ways, 3);
    assert_eq!((&again[..1], again[2]), (&sent[1..2], sent[2]));
    assert_eq!((again.len(), again[1].0), (3, uid(1)));
    assert!(said_to(&ways, HOME).is_empty());
}

#[test]
fn what_is_behind_another_homes_goes_once_that_has_taken_it() {
    let (bench, ways) = former_home();
    assert_eq!(bench.says(1, &offer()), Delivered::Done);
    let name = said_to(&ways, HOME)[0].1.unwrap();
    ways.set_home(Some((3, 3)));
    assert_eq!(bench.says(1, &offer()), Delivered::Done);
    assert_eq!(said_to(&ways, 3), []);
    from_home(&bench, HOME, &ToNext::WordTaken(WordTaken { uid: uid(1), name }));
    assert_eq!(said_to(&ways, 3).len(), 1);
}

/// An agent must not restart twice: a home that may have had the command may have given it to the agent.
#[test]
fn a_command_that_a_home_may_have_taken_goes_to_no_other() {
    let (bench, ways) = former_home();
    assert_eq!(bench.says(1, &command()), Delivered::Done);
    assert_eq!(said_to(&ways, HOME).len(), 1);
    fleet(&bench).node_lost(node(HOME));
    fleet(&bench).node_reached(node(HOME));
    assert_eq!(said_to(&ways, HOME).len(), 1, "that home knows whether it has it");
    fleet(&bench).node_lost(node(HOME));
    ways.set_home(Some((3, 3)));
    fleet(&bench).homes_changed();
    assert_eq!(said_to(&ways, 3), []);
    assert_eq!(bench.says(1, &command()), Delivered::Done);
    assert_eq!(said_to(&ways, 3).len(), 1, "a later one goes");
}

#[test]
fn a_home_of_the_first_format_says_nothing_and_is_not_waited_for() {
    for speaks_first in [true, false] {
        let (bench, ways) = former_home();
        let speaks = || fleet(&bench).node_speaks(node(HOME), 1);
        if speaks_first {
            speaks();
        }
        assert_eq!(bench.says(1, &offer()), Delivered::Done);
        if !speaks_first {
            speaks();
        }
        assert_eq!(said_to(&ways, HOME).len(), 1);
        fleet(&bench).node_lost(node(HOME));
        ways.set_home(Some((3, 3)));
        fleet(&bench).homes_changed();
        assert_eq!(said_to(&ways, 3), []);
    }
}

#[test]
fn a_home_that_does_not_say_that_it_has_taken_a_message_has_the_server_find_out() {
    let (bench, ways) = former_home();
    assert_eq!(bench.says(1, &offer()), Delivered::Done);
    passed_on(&ways);
    bench.sessions.sweep(clock::now() + Duration::from_secs(31));
    let missed = LetGo { uid: uid(1), server: ServerId(0), missed: true };
    let frames = passed_on(&ways);
    assert_eq!(frames.len(), 1);
    assert_eq!(ToNext::decode(&frames[0]), Ok(ToNext::LetGo(missed)));
}

#[test]
fn a_home_says_once_more_that_it_has_taken_a_message() {
    let bench = Bench::default();
    let agent = moved_here(&bench, Keying::Uid);
    let message = ServerToAgent { instance_uid: vec![1; 16], ..offer() }.encode_to_vec();
    let word = Some(NamedWord { name: WordName { origin: node(4), number: 7 }, settled: 7 });
    let (link, incarnation) = (route(1).link, Incarnation(1));
    let said = ServerSaid { uid: uid(1), link, incarnation, message: &message, word };
    from_home(&bench, HOME, &ToNext::ServerSaid(said));
    assert_eq!(agent.reads().len(), 1);
    from_home(&bench, HOME, &ToNext::ServerSaid(said));
    from_home(&bench, 3, &ToNext::ServerSaid(said));
    assert_eq!(agent.reads(), []);
}

/// A session that has come from `HOME`, with its agent's connection.
fn moved_here(bench: &Bench, keying: Keying) -> Agent<'_> {
    let agent = Agent::first(bench, 1, 1);
    let ways = Arc::<FakeWays>::default();
    ways.set_home(Some((ME, 3)));
    bench.sessions.join_fleet(ways);
    ShardId::all().for_each(|shard| {
        fleet(bench).install(shard, epoch(3), None);
    });
    let joined = bench.sessions.joined.get().unwrap();
    joined.homes.shards.joined(uid(1));
    let entry = bench.sessions.find(uid(1)).unwrap();
    let mut locked = entry.lock(&bench.sessions.counters);
    let how = Move {
        from: Peer::of(node(HOME)),
        me: Peer::of(node(ME)),
        keying,
        own: Some(route(1)),
        has_ended: &|_| false,
    };
    locked.session = Session::moved_here(locked.session.to_record(), &how, None, clock::now());
    drop(locked);
    bench.sessions.enqueue_one(uid(1));
    agent
}

fn from_home(bench: &Bench, number: u64, said: &ToNext<'_>) {
    let mut frame = Vec::new();
    said.encode(&mut frame);
    fleet(bench).from_node(node(number), &frame).unwrap();
    bench.permits();
}

#[test]
fn a_former_homes_word_reaches_the_agent() {
    let bench = Bench::default();
    let agent = moved_here(&bench, Keying::Uid);
    let message = ServerToAgent { instance_uid: vec![1; 16], ..offer() }.encode_to_vec();
    let link = route(1).link;
    let incarnation = Incarnation(1);
    let said = ServerSaid { uid: uid(1), link, incarnation, message: &message, word: None };
    from_home(&bench, HOME, &ToNext::ServerSaid(said));
    let heard = agent.reads();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].remote_config, offer().remote_config);
    let broken = ServerSaid { message: &[0xff], ..said };
    from_home(&bench, HOME, &ToNext::ServerSaid(broken));
    from_home(&bench, HOME, &ToNext::ServerSaid(ServerSaid { uid: uid(9), ..said }));
    assert_eq!(agent.reads(), []);
}

#[test]
fn agents_are_introduced_when_the_links_end_that_their_servers_knew_them_by() {
    let link = route(1).link;
    let ended = ToNext::LinkEnded(LinkEnded { link, links: 1, up_to: Incarnation(1) });
    let let_go = LetGo { uid: uid(1), server: link.server, missed: false };
    let ends: [&dyn Fn(&Bench); 3] = [
        &|bench| from_home(bench, HOME, &ended),
        &|bench| from_home(bench, HOME, &ToNext::LetGo(let_go)),
        &|bench| {
            fleet(bench).node_gone(node(HOME));
            bench.permits();
        },
    ];
    for end in ends {
        let bench = Bench::default();
        let _agent = moved_here(&bench, Keying::Uid);
        bench.permits();
        from_home(&bench, 3, &ended);
        assert_eq!(bench.sent(), [], "its server hears nothing of the move");
        end(&bench);
        assert_eq!(bench.sent().len(), 1);
    }
}

#[test]
fn a_lost_message_makes_its_server_find_out() {
    let bench = Bench::default();
    let _agent = moved_here(&bench, Keying::Uid);
    let let_go = LetGo { uid: uid(1), server: ServerId(0), missed: true };
    from_home(&bench, HOME, &ToNext::LetGo(let_go));
    let sent = bench.sent();
    assert!(sent.iter().any(|(_, message)| message.agent_description.is_some()), "{sent:?}");
}
