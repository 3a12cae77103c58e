//! A session's record reads back on another node, whatever it says; any bytes are read without a panic.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use prost::Message;

use super::POLICY;
use super::harness::UID;
use super::record::{Dice, dice, record};
use crate::core::codec::Undecodable;
use crate::core::session::{AddedRecord, Presence, ReplicaState, SessionRecord, Written};
use crate::opamp::digest::{Digest, RawHash};
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::offers::Offers;
use crate::opamp::proto::{
    AgentRemoteConfig, CustomMessage, ServerErrorResponse, ServerToAgent, ServerToAgentCommand,
};
use crate::opamp::server::ServerScan;
use crate::opamp::splice::Additions;

fn encoded(record: &SessionRecord, now: Instant) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(now, &mut bytes);
    bytes
}

/// A record that says much: what stays behind on its own node is left out.
fn full(dice: &Dice, now: Instant) -> SessionRecord {
    let mut record = record(dice, now);
    if let Some(state) = &mut record.replica {
        (state.hash_counts, state.hash) = (false, RawHash(0));
        for (part, digest) in agent_field::STATE_PARTS.into_iter().zip(&mut state.digests) {
            if state.reported.contains(part) {
                *digest = Digest([part.to_le_bytes()[0] + 1; 16]);
            }
        }
    }
    record
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_reads_back(dice in dice(), cut in any::<prop::sample::Index>()) {
        let now = crate::clock::now();
        let record = full(&dice, now);
        let mut bytes = encoded(&record, now);
        let mut older = record.clone();
        older.seldom.added = AddedRecord::default();
        let read = SessionRecord::decode(&bytes[..cut.index(bytes.len())], now);
        prop_assert!(read.is_err() || read == Ok(older), "it ends where older records end, or nowhere");
        bytes.push(9);
        prop_assert_eq!(SessionRecord::decode(&bytes, now), Ok(record));
    }

    #[test]
    fn any_bytes_are_no_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let now = crate::clock::now();
        for place in [0, 1] {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = 1 - u8::try_from(place).unwrap();
            }
        }
        if let Ok(record) = SessionRecord::decode(&bytes, now) {
            let again = SessionRecord::decode(&encoded(&record, now), now);
            prop_assert_eq!(again.map(|record| record.uid), Ok(record.uid));
        }
    }
}

#[test]
fn a_record_is_golden() {
    let now = crate::clock::now();
    let dice = Dice {
        numbers: [300, 0, 2, 0, 1, 7, 8, 1_500],
        flags: [true; 16],
        one_shots: vec![vec![0x6a, 0]],
    };
    let mut record = full(&dice, now);
    record.replica = Some(ReplicaState {
        reported: FieldSet::of(&[agent_field::HEALTH]),
        digests: [Digest([0xdd; 16]); 10],
        ..ReplicaState::EMPTY
    });
    let hex: String = encoded(&record, now).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, [GOLDEN, GOLDEN_ADDED].concat(), "a change here is a new format");
    let bytes: Vec<u8> = GOLDEN
        .as_bytes()
        .chunks(2)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 16).unwrap())
        .collect();
    let older = SessionRecord::decode(&bytes, now).unwrap();
    let hex: String = encoded(&older, now).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, [GOLDEN, "00000000"].concat(), "what an older node has written");
}

/// Head; presence and flags; unanswered messages and former links; replies; questions; the replica with one digest;
/// permits; the mailbox; a one-shot; what is seldom; former homes.
const GOLDEN: &str = "01000707070707070707070707070707070707010807\
    00ac0203070000\
    020309b8170802ad0200ae0200\
    01b8170807\
    0002b8170002b817\
    01200000000000dddddddddddddddddddddddddddddddd\
    0003010701b8170000\
    01026a00\
    070000020309b8170701b817\
    ad0202ad0200802000ae020080200001b817b8170200";
/// Intervals, whether the last message was a heartbeat, and when a question was passed on.
const GOLDEN_ADDED: &str = "d804080101b817";

/// All that a mailbox gives its agent.
fn drained(offers: &Offers) -> Vec<Vec<u8>> {
    let mut offers = offers.clone();
    let mut messages = Vec::new();
    while !offers.is_empty() {
        let mut message = Vec::new();
        offers.take(UID, &Additions::default(), &mut message);
        messages.push(message);
    }
    messages
}

#[test]
fn a_mailbox_reads_back() {
    let now = crate::clock::now();
    let mut offers = Offers::default();
    let custom = |name: &str| CustomMessage { r#type: name.to_owned(), ..Default::default() };
    let config = AgentRemoteConfig { config_hash: vec![1; 8], ..Default::default() };
    let messages = [
        ServerToAgent {
            remote_config: Some(config),
            flags: 2,
            capabilities: 7,
            ..Default::default()
        },
        ServerToAgent { custom_message: Some(custom("first")), ..Default::default() },
        ServerToAgent { custom_message: Some(custom("second")), ..Default::default() },
        ServerToAgent { command: Some(ServerToAgentCommand::default()), ..Default::default() },
        ServerToAgent {
            error_response: Some(ServerErrorResponse::default()),
            ..Default::default()
        },
    ];
    for message in messages {
        let bytes = message.encode_to_vec();
        offers.absorb(&ServerScan::parse(&bytes).unwrap(), POLICY.offers);
    }
    let dice = Dice { numbers: [1; 8], flags: [false; 16], one_shots: Vec::new() };
    let mut record = record(&dice, now);
    record.mailbox.offers = Some(Box::new(offers.clone()));
    let at = now - Duration::from_secs(1);
    let written = Written { ping: 300, at, in_answer: true, message: [0x1a, 0].into() };
    record.mailbox.unconfirmed = [written].into();
    let read = SessionRecord::decode(&encoded(&record, now), now).unwrap().mailbox;
    assert_eq!(read.unconfirmed, record.mailbox.unconfirmed);
    let read = drained(&read.offers.unwrap());
    assert_eq!(read, drained(&offers));
    assert_eq!(read.len(), 4, "an error, all that merges, a custom message, a command");
}

#[test]
fn moments_keep_their_distance_and_a_foreign_format_is_named() {
    let now = crate::clock::now();
    let dice = Dice { numbers: [1; 8], flags: [false; 16], one_shots: Vec::new() };
    let until = now + Duration::from_secs(60);
    let record = SessionRecord { presence: Presence::Absent { until }, ..record(&dice, now) };
    let bytes = encoded(&record, now);
    let later = now + Duration::from_secs(3_600);
    let read = SessionRecord::decode(&bytes, later).unwrap();
    assert_eq!(read.presence, Presence::Absent { until: later + Duration::from_secs(60) });
    let mut foreign = bytes;
    foreign[0] = 2;
    let error = SessionRecord::decode(&foreign, now);
    assert_eq!(error, Err(Undecodable::Unknown("a session's record")));
}
