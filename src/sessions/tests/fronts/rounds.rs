//! Homes that come and go, and a front that drains.

use std::time::Duration;

use super::*;
use crate::clock;
use crate::core::drain::AgentDrain;
use crate::core::ownership::SHARDS;

/// An agent of its own for each number.
fn many(bench: &FrontBench, count: u32) -> Vec<Option<Attachment>> {
    (0..count).map(|n| speaks(bench, n, 0, None)).collect()
}

fn speaks(
    bench: &FrontBench,
    n: u32,
    number: u64,
    mut attachment: Option<Attachment>,
) -> Option<Attachment> {
    let mut instance_uid = vec![7; 16];
    instance_uid[..4].copy_from_slice(&n.to_be_bytes());
    let message = AgentToServer { instance_uid, sequence_num: number, ..health() };
    let connection = ConnectionId(u64::from(n));
    let bytes = message.encode_to_vec();
    bench.bench.sessions.receive(&mut attachment, connection, &bytes, &mut Vec::new()).unwrap();
    attachment
}

fn count(sent: &[String], word: &str) -> usize {
    sent.iter().filter(|sent| *sent == word).count()
}

#[tokio::test(start_paused = true)]
async fn connections_attach_at_a_pace_and_agents_that_speak_at_once() {
    let bench = FrontBench::default();
    let mut agents = many(&bench, 1_200);
    bench.sent();
    bench.moves(None);
    bench.moves(Some((3, 2)));
    let first = count(&bench.ways.sent_to(3), "attach 1");
    assert!((400..=500).contains(&first), "{first} of the first burst");
    agents[1_199] = speaks(&bench, 1_199, 1, agents[1_199].take());
    let spoke = count(&bench.ways.sent_to(3), "attach 1");
    assert!(spoke <= 1);
    let mut all = first + spoke;
    let mut sweeps = 0;
    while all < 1_200 {
        tokio::time::advance(Duration::from_millis(250)).await;
        bench.bench.sessions.sweep(clock::now());
        let sent = bench.ways.sent_to(3);
        let attached = count(&sent, "attach 1");
        assert!(attached <= 505, "{attached} in a quarter of a second");
        all += attached;
        sweeps += 1;
        assert!(sweeps < 5, "{all} have attached");
    }
    assert_eq!(all, 1_200, "each once");
}

#[tokio::test(start_paused = true)]
async fn a_home_hears_when_all_of_a_shard_were_named() {
    let bench = FrontBench::default();
    let _agents = many(&bench, 3);
    bench.sent();
    bench.moves(Some((3, 2)));
    let sent = bench.ways.sent_to(3);
    assert_eq!((count(&sent, "attach 1"), count(&sent, "all here")), (3, 0));
    tokio::time::advance(Duration::from_millis(600)).await;
    bench.bench.sessions.sweep(clock::now());
    let others = usize::from(SHARDS) - 3;
    assert_eq!(count(&bench.ways.sent_to(3), "all here"), others, "three attaches are unanswered");
    tokio::time::advance(Duration::from_secs(61)).await;
    bench.bench.sessions.sweep(clock::now());
    assert_eq!(count(&bench.ways.sent_to(3), "all here"), 3, "and will be so");
    // The link is lost and is back: all is said again, whatever was there before.
    bench.fleet().node_lost(node(3));
    bench.fleet().node_reached(node(3));
    tokio::time::advance(Duration::from_millis(600)).await;
    for _ in 0..2 {
        bench.bench.sessions.sweep(clock::now());
        tokio::time::advance(Duration::from_secs(61)).await;
    }
    bench.bench.sessions.sweep(clock::now());
    let sent = bench.ways.sent_to(3);
    assert_eq!(count(&sent, "all here"), usize::from(SHARDS));
    assert!(count(&sent, "attach 1") >= 3);
}

#[test]
fn a_front_that_drains_sheds_its_agents_and_keeps_no_session() {
    let bench = FrontBench::default();
    let (mut busy, idle) = (bench.attached(1), bench.attached(2));
    busy.says(health());
    let sessions = &bench.bench.sessions;
    sessions.begin_drain();
    let mut here: Vec<_> = sessions.here(|| 0).into_iter().map(|it| it.uid).collect();
    here.sort_unstable();
    assert_eq!(here, [uid(1), uid(2)]);
    assert_eq!(sessions.drain_agent(uid(1), true), AgentDrain::Pending);
    assert_eq!(sessions.drain_agent(uid(2), true), AgentDrain::Closing);
    assert_eq!(sessions.drain_agent(uid(2), true), AgentDrain::Absent);
    assert!(matches!(idle.looks(), Outgoing::Stopping));
    drop(idle);
    assert_eq!(bench.sent(), ["message 2", "Drained"]);
    assert_eq!(sessions.drain_agent(uid(1), false), AgentDrain::Closing);
    bench.home_says(1, |handle| answer(handle, 2, &[]));
    assert!(matches!(busy.looks(), Outgoing::Bytes(_)));
    assert!(matches!(busy.looks(), Outgoing::Stopping));
    sessions.stop();
    drop(busy);
    assert_eq!(bench.sent(), ["Drained"]);
    assert_eq!(sessions.count(), (0, 0));
    assert!(sessions.is_drained_from(uid(1)), "its home alone speaks for it");
}
