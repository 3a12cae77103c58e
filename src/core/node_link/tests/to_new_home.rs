//! Sessions on their way to a new home: golden bytes, and any bytes.

use proptest::prelude::*;

use super::super::*;
use super::UID;
use crate::core::ownership::{MoveNumber, ShardId};
use crate::opamp::field_set::{FieldSet, agent_field};

const NAMES: [u8; 32] = [0xaa; 32];

fn moving() -> MovingSession<'static> {
    let parts = FieldSet::of(&[agent_field::AGENT_DESCRIPTION, agent_field::HEALTH]);
    MovingSession {
        session: &[1, 2],
        attachment: &[3],
        tell_again: FieldSet::of(&[agent_field::HEALTH]),
        contents: ContentNames::new(parts, &NAMES).unwrap(),
    }
}

#[test]
fn frames_for_a_new_home_are_golden() {
    let shard = ShardId::new(1000).unwrap();
    let content = MovingContent { name: ContentName([0xbb; 16]), bytes: &[0x2a, 0] };
    let uid = "003031323334353637383961626364 6566";
    let cases = [
        (
            ToNewHome::Session(MoveNumber(300), UID, Some(moving())),
            format!("41ac02{uid}01 020102 0103 20 28{}", "aa".repeat(32)),
        ),
        (ToNewHome::Session(MoveNumber(1), UID, None), format!("4101{uid}00")),
        (
            ToNewHome::Content(MoveNumber(1), shard, content),
            format!("4201e807{}022a00", "bb".repeat(16)),
        ),
        (ToNewHome::End(MoveNumber(1), shard, 7), "4301e80707".to_owned()),
    ];
    for (message, expected) in cases {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        let shown: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, expected.replace(' ', ""), "{message:?}");
        assert!(ToNewHome::is_one(&frame) && !ToFront::is_one(&frame));
        assert_eq!(ToNewHome::decode(&frame), Ok(message));
        frame.push(0xff);
        assert_eq!(ToNewHome::decode(&frame), Ok(message), "what a later version appends");
    }
    assert!(!ToNewHome::is_one(&[1]) && !ToNewHome::is_one(&[0x44]) && !ToNewHome::is_one(&[]));
}

#[test]
fn names_are_those_of_their_parts() {
    let two = FieldSet::of(&[agent_field::HEALTH, agent_field::EFFECTIVE_CONFIG]);
    assert_eq!(ContentNames::new(two, &NAMES[..16]), None);
    let named: Vec<u32> = moving().contents.iter().map(|(part, _)| part).collect();
    assert_eq!(named, [agent_field::AGENT_DESCRIPTION, agent_field::HEALTH]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_written_the_same(
        kind in 0x41_u8..=0x43,
        rest in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let frame = [&[kind][..], &rest].concat();
        if let Ok(message) = ToNewHome::decode(&frame) {
            let mut again = Vec::new();
            message.encode(&mut again);
            prop_assert_eq!(ToNewHome::decode(&again), Ok(message));
        }
    }
}
