//! Losses of links, event by event: who goes apart, what is held back, and what accuses no agent.

use std::time::{Duration, Instant};

use super::*;
use crate::ident::SequenceNum;
use crate::opamp::field_set::agent_field::{AGENT_DESCRIPTION, EFFECTIVE_CONFIG, HEALTH};
use crate::opamp::splice;

const SECOND: Duration = Duration::from_secs(1);
const LINKS: u16 = 4;

fn uid(n: u8) -> InstanceUid {
    InstanceUid::from_bytes([n; 16])
}

fn so_far(answers: u64, now: Instant) -> SoFar {
    SoFar { taken: 0, answers, now }
}

fn suspect(n: u8, bytes: usize) -> Suspect {
    Suspect { uid: uid(n), bytes }
}

fn report(config: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    splice::announce(uid(1), 7, SequenceNum(3), &mut message);
    splice::field(AGENT_DESCRIPTION, b"an agent", &mut message);
    splice::field(EFFECTIVE_CONFIG, config, &mut message);
    splice::field(HEALTH, b"ok", &mut message);
    message
}

fn unanswered(message: &[u8]) -> Sent {
    let mut unanswered = Unanswered::default();
    unanswered.sent(uid(1), message.len(), parts(message));
    unanswered.take().remove(0).1
}

/// A server, and its time in tenths of a second since the start. Each tenth an agent is answered.
struct Scene {
    suspects: Suspects,
    start: Instant,
    taken: usize,
}

impl Scene {
    fn new() -> Self {
        Self { suspects: Suspects::default(), start: crate::clock::now(), taken: 1_000 }
    }

    fn at(&self, tenth: u32) -> Instant {
        self.start + SECOND / 10 * tenth
    }

    /// A shared link is lost, and up again half a second later.
    fn shared(&mut self, tenth: u32, kind: LossKind, of: &[Suspect]) -> usize {
        let (lost, up) = (self.at(tenth), self.at(tenth + 5));
        self.suspects.shared_lost(0, Some(kind), of.to_vec(), lost);
        self.suspects.shared_opens(0, self.taken, u64::from(tenth) + 5, up)
    }

    /// Agent 1's own link is lost with this under way, and could be up again half a second later: whether it may.
    fn own(&mut self, tenth: u32, kind: LossKind, message: &[u8]) -> bool {
        let (lost, up) = (self.at(tenth), self.at(tenth + 5));
        self.suspects.own_lost(
            uid(1),
            Some(kind),
            Some(unanswered(message)),
            so_far(u64::from(tenth), lost),
        );
        self.suspects.own_opens(uid(1), false, u64::from(tenth) + 5, up)
    }

    fn passage(&mut self, tenth: u32, way: MessageWay, message: &[u8]) -> Passage {
        let now = self.at(tenth);
        self.suspects.passage(
            (uid(1), way),
            message,
            SoFar { taken: self.taken, ..so_far(u64::from(tenth), now) },
        )
    }

    fn tick(&mut self, tenth: u32) -> Vec<SuspectFinding> {
        let now = self.at(tenth);
        self.suspects.tick(false, |_| true, (u64::from(tenth), now))
    }

    fn apart(&self) -> Vec<u8> {
        self.suspects.apart.keys().map(|uid| uid.as_bytes()[0]).collect()
    }
}

fn held(finding: &SuspectFinding) -> Option<(u32, Option<usize>)> {
    let SuspectFinding::Held { part, size, .. } = finding else { return None };
    Some((part.number, *size))
}

#[test]
fn a_report_over_the_servers_limit_costs_one_shared_link_and_its_largest_part_is_held_back() {
    let mut scene = Scene::new();
    let big = report(&[b'x'; 50_000]);
    let of = [suspect(2, 90), suspect(1, big.len()), suspect(3, 70)];
    assert_eq!(scene.shared(10, LossKind::Size, &of), 1);
    assert_eq!(scene.apart(), [1], "the others are smaller than what was taken before");
    assert_eq!(scene.passage(20, MessageWay::Own, &big), Passage::Whole);
    assert!(scene.own(20, LossKind::Size, &big));
    let findings = scene.tick(26);
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(held(finding), Some((EFFECTIVE_CONFIG, Some(big.len()))));
    let Passage::Cut(rest) = scene.passage(27, MessageWay::Own, &big) else { panic!("not cut") };
    assert_eq!(
        parts(&rest).iter().map(|p| p.number).collect::<Vec<_>>(),
        [AGENT_DESCRIPTION, HEALTH]
    );
    // It has held out, and goes with the others again; the part stays where it is.
    assert_eq!(scene.tick(130), [SuspectFinding::Rejoins { uid: uid(1) }]);
    assert!(scene.suspects.rejoins(uid(1)) && scene.tick(131).is_empty());
    scene.suspects.own_ended(uid(1), crate::clock::now());
    assert!(!scene.suspects.is_apart(uid(1)));
    assert!(matches!(scene.passage(140, MessageWay::Shared, &big), Passage::Cut(_)));
    assert_eq!(
        scene.passage(150, MessageWay::Shared, &report(b"small")),
        Passage::Apart,
        "it has changed"
    );
    assert_eq!(scene.passage(150, MessageWay::Own, &report(b"small")), Passage::Whole);
}

#[test]
fn a_size_that_was_refused_is_sent_on_no_shared_link() {
    let mut scene = Scene::new();
    let big = report(&[b'x'; 50_000]);
    scene.suspects.too_large(uid(8), &report(b"small"), scene.start);
    assert_eq!(scene.suspects.limit(0, scene.start), None, "no limit is this low");
    scene.suspects.too_large(uid(9), &big, scene.start);
    assert_eq!(scene.suspects.limit(scene.taken, scene.start), Some(big.len()));
    let Passage::Cut(rest) = scene.passage(1, MessageWay::Shared, &report(&[b'y'; 50_000])) else {
        panic!("not cut")
    };
    assert!(rest.len() < 100);
    assert_eq!(
        scene.tick(2).iter().filter_map(held).count(),
        1,
        "the first was told by its answer"
    );
    assert_eq!(
        scene.passage(3, MessageWay::Shared, &report(&[b'y'; 500])),
        Passage::Apart,
        "it has changed"
    );
    scene.suspects.apart.clear();
    assert_eq!(scene.passage(3, MessageWay::Shared, &report(&[b'y'; 500])), Passage::Whole);
    assert_eq!(
        scene.passage(3, MessageWay::Shared, &report(&[b'y'; 20_000])),
        Passage::Apart,
        "it may fit"
    );
    scene.taken = big.len();
    assert_eq!(scene.passage(3, MessageWay::Shared, &report(&[b'y'; 90_000])), Passage::Whole);
}

#[test]
fn a_server_that_says_nothing_costs_two_shared_links() {
    let mut scene = Scene::new();
    let poison = report(b"poison");
    assert_eq!(
        scene.shared(10, LossKind::Unclear, &[suspect(2, 10), suspect(1, 10), suspect(3, 10)]),
        0
    );
    assert_eq!(scene.shared(20, LossKind::Unclear, &[suspect(4, 10), suspect(1, 10)]), 1);
    assert_eq!(scene.apart(), [1]);
    assert!(scene.own(30, LossKind::Unclear, &poison));
    assert!(scene.tick(36).is_empty(), "once may be chance");
    assert!(scene.own(40, LossKind::Unclear, &poison));
    assert_eq!(
        scene.tick(46).iter().filter_map(held).collect::<Vec<_>>(),
        [(AGENT_DESCRIPTION, None)]
    );
}

#[test]
fn parts_that_were_accused_on_the_way_have_a_second_chance() {
    let mut scene = Scene::new();
    let poison = report(b"poison");
    scene.shared(10, LossKind::Message, &[suspect(1, 10)]);
    let Passage::Whole = scene.passage(20, MessageWay::Own, &poison) else { panic!("cut") };
    scene.own(20, LossKind::Message, &poison);
    let Passage::Cut(rest) = scene.passage(26, MessageWay::Own, &poison) else { panic!("not cut") };
    scene.own(30, LossKind::Message, &rest);
    // Without the configuration it lives.
    let Passage::Cut(rest) = scene.passage(36, MessageWay::Own, &poison) else { panic!("not cut") };
    assert_eq!(parts(&rest).iter().map(|p| p.number).collect::<Vec<_>>(), [HEALTH]);
    let findings = scene.tick(140);
    assert_eq!(findings.iter().filter_map(held).count(), 2);
    let Some(SuspectFinding::Freed { parts: freed, .. }) = findings.last() else {
        panic!("{findings:?}")
    };
    assert_eq!(freed[0].number, AGENT_DESCRIPTION);
    let Passage::Cut(rest) = scene.passage(141, MessageWay::Own, &poison) else {
        panic!("not cut")
    };
    assert_eq!(parts(&rest).len(), 2);
    assert_eq!(scene.tick(241), [SuspectFinding::Rejoins { uid: uid(1) }], "it was innocent");
}

#[test]
fn an_agent_whose_presence_is_refused_is_denied_and_tried_ever_more_seldom() {
    let mut scene = Scene::new();
    let mut bare = Vec::new();
    splice::announce(uid(1), 7, SequenceNum(3), &mut bare);
    scene.shared(10, LossKind::Message, &[suspect(1, 10), suspect(2, 10)]);
    scene.own(17, LossKind::Message, &report(b"innocent"));
    assert!(!scene.suspects.held.is_empty());
    assert!(!scene.own(20, LossKind::Message, &bare), "not yet");
    assert!(scene.suspects.held.is_empty(), "what it said was not the reason");
    assert_eq!(scene.tick(26).last(), Some(&SuspectFinding::Denied { uid: uid(1) }));
    let pause = scene.suspects.paused(uid(1), scene.at(26)).unwrap();
    assert!(pause > SECOND * 29 && pause <= SECOND * 30);
    assert!(scene.suspects.own_opens(uid(1), false, 400, scene.at(400)));
    assert!(!scene.own(401, LossKind::Message, &bare));
    assert!(scene.suspects.paused(uid(1), scene.at(406)).unwrap() > SECOND * 59);
    scene.suspects.own_ended(uid(1), crate::clock::now());
    assert!(scene.suspects.is_apart(uid(1)), "also if its session ends");
    scene.tick(20_000);
    assert!(!scene.suspects.is_apart(uid(1)), "but not for ever");
}

#[test]
fn a_server_that_is_killed_again_and_again_accuses_nobody() {
    let crowd: Vec<_> = (1..=200).map(|n| suspect(n, 10)).collect();
    for kind in [LossKind::Unclear, LossKind::Message] {
        let mut scene = Scene::new();
        for kill in 0..4 {
            let tenth = 100 * kill + 100;
            for link in 0..LINKS {
                scene.suspects.shared_lost(link, Some(kind), crowd.clone(), scene.at(tenth));
            }
            if kill % 2 == 0 {
                scene.suspects.dial_failed(scene.at(tenth + 3));
            }
            for link in 0..LINKS {
                let answers = u64::from(tenth);
                assert_eq!(scene.suspects.shared_opens(link, 0, answers, scene.at(tenth + 9)), 0);
            }
        }
        assert!(scene.tick(1_000).is_empty());
    }
    // Neither does it where there is one link, and the same few were under way each time.
    let mut scene = Scene::new();
    for tenth in [100, 200, 300, 400] {
        scene.suspects.shared_lost(
            0,
            Some(LossKind::Unclear),
            crowd[..3].to_vec(),
            scene.at(tenth),
        );
        scene.suspects.dial_failed(scene.at(tenth + 3));
        assert_eq!(scene.suspects.shared_opens(0, 0, 1, scene.at(tenth + 9)), 0);
    }
    // A server that goes away says so.
    scene.suspects.shared_lost(0, None, crowd.clone(), scene.at(500));
    assert_eq!(scene.suspects.shared_opens(0, 0, 1, scene.at(505)), 0);
}

#[test]
fn a_kill_during_probation_convicts_nobody() {
    let mut scene = Scene::new();
    scene.shared(10, LossKind::Message, &[suspect(1, 10)]);
    for tenth in [100, 200, 300] {
        scene.suspects.shared_lost(0, Some(LossKind::Unclear), Vec::new(), scene.at(tenth));
        scene.own(tenth + 2, LossKind::Unclear, &report(b"innocent"));
        assert!(scene.suspects.held.is_empty());
    }
    assert_eq!(scene.tick(408), [SuspectFinding::Rejoins { uid: uid(1) }]);
}

#[test]
fn a_server_that_refuses_everybody_convicts_nobody() {
    let mut scene = Scene::new();
    let message = report(b"innocent");
    for round in 0..10 {
        let now = scene.at(round * 10);
        let sent = Some(unanswered(&message));
        scene.suspects.own_lost(uid(1), Some(LossKind::Message), sent, so_far(7, now));
        scene.suspects.own_opens(uid(1), true, 7, now + SECOND / 2);
    }
    assert!(scene.suspects.held.is_empty(), "nobody was answered");
}

#[test]
fn an_agent_that_gets_no_link_of_its_own_goes_with_the_others_again() {
    let mut scene = Scene::new();
    scene.shared(10, LossKind::Message, &[suspect(1, 10)]);
    assert!(scene.tick(600).is_empty());
    assert_eq!(scene.tick(616), [SuspectFinding::Rejoins { uid: uid(1) }]);
}

#[test]
fn agents_apart_are_few_and_the_first_in_line_are_accused_first() {
    let mut scene = Scene::new();
    for loss in 0..100_u32 {
        let first = u8::try_from(loss).unwrap() * 2 + 10;
        scene.shared(
            loss * 20 + 10,
            LossKind::Message,
            &[suspect(first, 1), suspect(first + 1, 1)],
        );
    }
    assert_eq!(scene.suspects.apart(), APART_MAX);
    assert_eq!(scene.apart()[..3], [10, 11, 12]);
    let mut crowd = Scene::new();
    let all: Vec<_> = (1..=100).rev().map(|n| suspect(n, 1)).collect();
    crowd.shared(10, LossKind::Message, &all);
    assert_eq!(crowd.apart(), [97, 98, 99, 100]);
    // Who was there at both losses is more likely than who comes first.
    crowd.shared(30, LossKind::Message, &[all[80], all[50], suspect(200, 1)]);
    assert!(crowd.apart().contains(&all[80].uid.as_bytes()[0]));
}

#[test]
fn a_message_that_breaks_each_connection_of_its_own_is_held_back_in_mode_http() {
    let mut scene = Scene::new();
    let poison = report(b"poison");
    for loss in 0..4 {
        assert!(scene.suspects.held.is_empty());
        scene.suspects.post_lost(uid(1), &poison, loss, scene.start + SECOND * 2);
    }
    assert_eq!(scene.tick(40).iter().filter_map(held).count(), 1);
    // A server that breaks off every exchange, or cannot be dialled, accuses no agent.
    let mut away = Scene::new();
    for loss in 0..10 {
        away.suspects.post_lost(uid(1), &poison, 7, away.start);
        away.suspects.post_lost(uid(2), &poison, loss, away.start);
        away.suspects.dial_failed(away.start);
    }
    assert!(away.suspects.held.is_empty());
}

#[test]
fn connections_that_are_cut_at_any_time_convict_nobody() {
    let mut scene = Scene::new();
    let answered = |tenth: u32| so_far(u64::from(tenth), scene.start + SECOND / 10 * tenth);
    let mut bare = Vec::new();
    splice::announce(uid(1), 7, SequenceNum(3), &mut bare);
    let bare_after_long: [(u32, &[u8]); 4] = [(0, &bare), (105, &bare), (210, &bare), (315, &bare)];
    let mut others = Suspects::default();
    for (tenth, message) in bare_after_long {
        let sent = Some(unanswered(message));
        others.own_lost(uid(1), Some(LossKind::Unclear), sent, answered(tenth));
        let up = answered(tenth + 1);
        others.own_opens(uid(1), true, up.answers, up.now);
    }
    assert!(others.paused(uid(1), scene.at(320)).is_none(), "each link had held for long");
    // Each time something else was under way, or nothing in between.
    for loss in 0..9_u32 {
        let message = match loss % 2 {
            0 => report(b"innocent"),
            _ => bare.clone(),
        };
        scene.own(loss * 10, LossKind::Unclear, &message);
    }
    let mut cut = Scene::new();
    for loss in 0..9_u32 {
        let sent = (loss % 2 == 0).then(|| unanswered(&report(b"innocent")));
        let (lost, up) = (cut.at(loss * 10), cut.at(loss * 10 + 5));
        let known = so_far(u64::from(loss), lost);
        cut.suspects.own_lost(uid(1), Some(LossKind::Unclear), sent, known);
        cut.suspects.own_opens(uid(1), true, u64::from(loss) + 1, up);
    }
    assert!(scene.suspects.held.is_empty() && cut.suspects.held.is_empty());
    // In mode http, messages that are answered come between.
    let mut http = Scene::new();
    for loss in 0..9 {
        http.suspects.post_lost(uid(1), &report(b"innocent"), loss, http.start);
        http.suspects.post_answered(uid(1));
    }
    assert!(http.suspects.held.is_empty());
}

#[test]
fn a_server_that_takes_less_than_before_accuses_the_largest() {
    let mut scene = Scene::new();
    scene.taken = 1 << 20;
    let of = [suspect(2, 90), suspect(1, 50_000), suspect(3, 70)];
    assert_eq!(scene.shared(10, LossKind::Size, &of), 1);
    assert_eq!(scene.apart(), [1]);
}

#[test]
fn an_agent_that_was_denied_and_leaves_while_its_link_is_up_is_forgotten() {
    let mut scene = Scene::new();
    let mut bare = Vec::new();
    splice::announce(uid(1), 7, SequenceNum(3), &mut bare);
    scene.shared(10, LossKind::Message, &[suspect(1, 10)]);
    assert!(!scene.own(20, LossKind::Message, &bare));
    assert!(scene.suspects.own_opens(uid(1), false, 400, scene.at(400)), "it is tried again");
    let left = scene.at(410);
    scene.suspects.own_lost(uid(1), None, None, so_far(400, left));
    scene.suspects.own_ended(uid(1), left);
    scene.tick(20_000);
    assert!(!scene.suspects.is_apart(uid(1)));
}
