//! A session and its record say the same, whatever they say.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::harness::{UID, route};
use crate::core::ownership::NodeIncarnation;
use crate::core::session::{
    AddedRecord, AnswerDoubt, ClassSet, Doubt, Doubts, FormerHome, FormerLink, FullState, LastSent,
    LateReply, LiveReplacementsRecord, MailboxRecord, Memory, OfferSource, OutstandingRecord, Peer,
    PermitsRecord, Presence, QuestionsRecord, ReplicaState, RepliesRecord, Rhythm, Route,
    SeldomRecord, Session, SessionRecord,
};
use crate::ident::{ConnectionId, Incarnation, SequenceNum};
use crate::opamp::field_set::FieldSet;

/// Numbers from which every field of a record follows.
#[derive(Debug, Clone)]
pub(super) struct Dice {
    pub(super) numbers: [u32; 8],
    pub(super) flags: [bool; 16],
    pub(super) one_shots: Vec<Vec<u8>>,
}

pub(super) fn dice() -> impl Strategy<Value = Dice> {
    let one_shots = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..4);
    (any::<[u32; 8]>(), any::<[bool; 16]>(), one_shots)
        .prop_map(|(numbers, flags, one_shots)| Dice { numbers, flags, one_shots })
}

fn full_state(number: u32, at: Instant) -> FullState {
    [FullState::Reported, FullState::Wanted, FullState::Asked(at)][number as usize % 3]
}

fn replica(dice: &Dice) -> ReplicaState {
    let [a, b, c, d, ..] = dice.numbers.map(|number| FieldSet::of(&[number % 16, number % 7]));
    let [full_pending, full_given, map_given, has_map, hash_counts, ..] = dice.flags;
    ReplicaState {
        reported: a,
        acked: b,
        remembered: FieldSet::EMPTY,
        pending: c,
        in_flight: d,
        full_pending,
        full_given,
        map_given,
        has_map,
        hash_counts,
        ..ReplicaState::EMPTY
    }
}

fn presence(dice: &Dice, at: Instant) -> Presence {
    [
        Presence::Connected { connection: ConnectionId(u64::from(dice.numbers[0])) },
        Presence::Polling { heard: at, waits: dice.flags[5] },
        Presence::Absent { until: at },
        Presence::Disconnecting,
    ][dice.numbers[1] as usize % 4]
}

fn questions(dice: &Dice, at: Instant) -> QuestionsRecord {
    let full_state_now = full_state(dice.numbers[2], at);
    let asked = matches!(full_state_now, FullState::Asked(_));
    let doubts = [AnswerDoubt::Settled, AnswerDoubt::Until(at), AnswerDoubt::Settling];
    QuestionsRecord {
        full_state: full_state_now,
        said_all: dice.flags[6] && !asked,
        map: full_state(dice.numbers[3], at),
        doubt: doubts[dice.numbers[4] as usize % 3],
    }
}

fn home(number: u32) -> Peer {
    Peer::of(NodeIncarnation::new(u64::from(number % 1_000) + 1).unwrap())
}

fn former(dice: &Dice) -> Vec<FormerLink> {
    let link = |place: u32| FormerLink {
        home: home(dice.numbers[0] % 1_000 + place),
        incarnation: Incarnation(dice.numbers[1]),
    };
    (0..dice.numbers[2] % 5).map(link).collect()
}

fn former_home(dice: &Dice, at: Instant) -> FormerHome {
    let [a, b, c, ..] = dice.numbers;
    let mut doubts = Doubts::default();
    for link in former(dice).into_iter().take(3) {
        let FormerLink { home, incarnation } = link;
        let parts = FieldSet::of(&[a % 16]);
        doubts.add(Doubt { home, incarnation, parts, unanswered: b });
    }
    let silent_until = dice.flags[6].then_some(at);
    let renames = u8::try_from(c % 100).unwrap();
    FormerHome { home: home(a), doubts, silent_until, until: at, renames }
}

/// Each kind of memory, in turn.
fn route_of(dice: &Dice) -> Route {
    let own = route(dice.numbers[5] % 5);
    let home = home(dice.numbers[6]);
    let memories =
        [own.memory, Memory::Elsewhere(home), Memory::Inherited(home), Memory::Forgotten(home)];
    Route { memory: memories[dice.numbers[5] as usize % 4], ..own }
}

pub(super) fn record(dice: &Dice, start: Instant) -> SessionRecord {
    let at = start + Duration::from_millis(u64::from(dice.numbers[7]));
    let [number, other] = [dice.numbers[5], dice.numbers[6]];
    let some = |flag: usize| dice.flags[flag].then_some(at);
    let route = route_of(dice);
    SessionRecord {
        uid: UID,
        capabilities: u64::from(number),
        presence: presence(dice, at),
        drains: dice.flags[7],
        greeted: dice.flags[8],
        agent_number: dice.flags[9].then_some(SequenceNum(u64::from(other))),
        upstream_number: SequenceNum(u64::from(number)),
        outstanding: OutstandingRecord {
            last: some(10).map(|at| LastSent { route, at }),
            unanswered: other,
            announcing: dice.flags[11],
            left: dice.flags[12],
            former: former(dice),
        },
        replies: RepliesRecord { due: some(13), owed: other, request: number },
        questions: questions(dice, at),
        replica: dice.flags[14].then(|| replica(dice)),
        permits: PermitsRecord {
            queued: ClassSet::EMPTY,
            announce_due: dice.flags[0],
            answer_goes_first: dice.flags[1],
        },
        mailbox: MailboxRecord {
            offers: None,
            unconfirmed: VecDeque::new(),
            last_ping: u16::try_from(number % 1_000).unwrap(),
            in_doubt: some(2),
            renamed: dice.flags[3],
        },
        one_shots: dice.one_shots.clone(),
        seldom: SeldomRecord {
            late_reply: some(4).map(|until| LateReply { route, until }),
            live_replacements: LiveReplacementsRecord {
                in_a_row: u8::try_from(number % 200).unwrap(),
                last: some(15),
            },
            former_home: dice.flags[5].then(|| former_home(dice, at)),
            offer_of: [None, Some(OfferSource::Here), Some(OfferSource::Former(home(3)))]
                [number as usize % 3],
            added: AddedRecord {
                rhythm: Rhythm { offered_s: 600, observed_s: u16::try_from(other % 600).unwrap() },
                last_was_heartbeat: dice.flags[3],
                question_passed_on: some(1),
            },
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_is_what_its_session_writes_down(dice in dice()) {
        let record = record(&dice, crate::clock::now());
        prop_assert_eq!(Session::from_record(record.clone()).to_record(), record);
    }
}
