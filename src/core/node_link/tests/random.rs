//! Any frame reads back as it was, any bytes are read without a panic, and what is read is written the same.

use proptest::prelude::*;

use super::super::*;
use super::epoch;
use crate::core::ownership::{MapVersion, ShardId};
use crate::ident::{ConnectionId, InstanceUid, SequenceNum};
use crate::opamp::field_set::FieldSet;

/// Numbers and bytes from which a frame follows.
#[derive(Debug, Clone)]
struct Dice {
    numbers: [u64; 8],
    flags: [bool; 8],
    bits: [u32; 3],
    digests: Vec<u8>,
    bytes: Vec<u8>,
}

fn dice() -> impl Strategy<Value = Dice> {
    let digests = proptest::collection::vec(any::<u8>(), 9 * DIGEST_BYTES);
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    (any::<[u64; 8]>(), any::<[bool; 8]>(), any::<[u32; 3]>(), digests, bytes).prop_map(
        |(numbers, flags, bits, digests, bytes)| Dice { numbers, flags, bits, digests, bytes },
    )
}

impl Dice {
    fn handle(&self) -> Handle {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.numbers[0].to_be_bytes());
        let uid = InstanceUid::from_bytes(bytes);
        let uid = if self.flags[0] { uid.as_ulid() } else { uid };
        Handle { uid, connection: ConnectionId(self.numbers[1]) }
    }

    fn id(&self) -> AttachmentId {
        AttachmentId { epoch: epoch(self.numbers[2]), number: self.numbers[3] }
    }

    fn count(&self, place: usize) -> u64 {
        self.numbers[place] >> 2
    }

    fn report(&self) -> AgentReport<'_> {
        let parts = FieldSet::from_bits(self.bits[0]).intersection(DIGESTED);
        let digests = &self.digests[..parts.len() * DIGEST_BYTES];
        AgentReport {
            sequence_num: SequenceNum(self.numbers[4]),
            capabilities: self.numbers[5],
            flags: self.numbers[6] >> 60,
            present: FieldSet::from_bits(self.bits[1]),
            heartbeats: self.flags[1].then_some(SequenceNum(self.numbers[7])),
            has_map: self.flags[0],
            digests: PartDigests::new(self.numbers[6], parts, digests).filter(|_| self.flags[2]),
            gone: FieldSet::from_bits(if self.flags[3] { self.bits[2] } else { 0 }),
            fields: &self.bytes,
        }
    }

    fn attach(&self) -> Attach<'_> {
        Attach {
            resumes: self.flags[4].then(|| self.id()),
            transport: AgentConnection::PlainHttp,
            client: self.bits[0].to_le_bytes()[0],
            identity: &self.bytes,
            forwarded_lately: self.flags[5],
            next: self.count(4),
            had: self.count(5),
            credit: self.bits[1],
            heartbeats: self.flags[6].then_some(SequenceNum(self.numbers[7])),
            first: self.flags[7].then(|| self.report()),
        }
    }

    fn to_home<'a>(&'a self, entries: &'a [u8]) -> [ToHome<'a>; 10] {
        let handle = self.handle();
        let reasons = [
            DetachReason::Lost,
            DetachReason::Drained,
            DetachReason::Renamed,
            DetachReason::Answered,
            DetachReason::TooLarge,
        ];
        let heartbeats = self.flags[1].then_some(SequenceNum(self.numbers[4]));
        let detach = Detach {
            reason: reasons[self.bits[0] as usize % reasons.len()],
            heartbeats,
            missed: self.flags[3],
        };
        let shard = u16::try_from(self.numbers[2] % 1024).unwrap();
        [
            ToHome::Attach(handle, self.attach()),
            ToHome::Message(handle, Numbered { number: self.count(4), report: self.report() }),
            ToHome::Heartbeats(HeartbeatsBatch::of(2, entries)),
            ToHome::Open(handle),
            ToHome::Alive(handle, self.bits[0]),
            ToHome::Written(handle, self.count(4)),
            ToHome::Detach(handle, detach),
            ToHome::AllHere(ShardId::new(shard).unwrap()),
            ToHome::WasAlive(handle),
            ToHome::FrontLeaves,
        ]
    }

    fn to_front(&self) -> [ToFront<'_>; 10] {
        let handle = self.handle();
        let orders = [CloseOrder::Replaced, CloseOrder::Overflowed, CloseOrder::Left];
        let others = [CloseOrder::Stopping, CloseOrder::Draining, CloseOrder::Cloned];
        let orders = if self.flags[1] { orders } else { others };
        let parts = FieldSet::from_bits(self.bits[1]);
        let (had, number, needs) = (self.count(5), self.count(6), parts);
        let (credit, bytes) = (self.bits[2], &self.bytes[..]);
        let kind = if self.flags[2] { ForAgentKind::Answer } else { ForAgentKind::Unasked };
        let epoch = self.numbers[4];
        [
            ToFront::Attached(handle, Attached { id: self.id(), epoch, had, needs, credit }),
            ToFront::Confirmed(handle, had),
            ToFront::Needs(handle, Needs { number, parts }),
            ToFront::AskOpen(handle),
            ToFront::Ping(handle, self.bits[0]),
            ToFront::AgentFrame(handle, AgentFrame { epoch, had, number, kind, bytes }),
            ToFront::Close(handle, orders[self.bits[0] as usize % 3]),
            ToFront::Later(handle),
            ToFront::NotMine(handle, MapVersion(had)),
            ToFront::Told(handle, had),
        ]
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_read_back_and_end_nowhere_else(dice in dice(), cut in any::<prop::sample::Index>()) {
        let mut entries = Vec::new();
        for after in [dice.count(2), dice.count(3)] {
            HeartbeatsEntry { handle: dice.handle(), after, last: SequenceNum(after) }.put(&mut entries);
        }
        for message in dice.to_home(&entries) {
            let mut frame = Vec::new();
            message.encode(&mut frame);
            let read = ToHome::decode(&frame);
            prop_assert_eq!(read.as_ref(), Ok(&message));
            prop_assert!(ToHome::decode(&frame[..cut.index(frame.len())]).is_err());
        }
        for message in dice.to_front() {
            let mut frame = Vec::new();
            message.encode(&mut frame);
            prop_assert_eq!(ToFront::decode(&frame), Ok(message));
            prop_assert!(ToFront::decode(&frame[..cut.index(frame.len())]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_read(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 0_u8..12) {
        let mut written = Vec::new();
        for head in [kind, 0x80 | kind] {
            if let Some(first) = bytes.first_mut() {
                *first = head;
            }
            if let Some(form) = bytes.get_mut(1) {
                *form &= 1;
            }
            written.clear();
            if let Ok(message) = ToHome::decode(&bytes) {
                message.encode(&mut written);
                prop_assert_eq!(ToHome::decode(&written), Ok(message));
            } else if let Ok(message) = ToFront::decode(&bytes) {
                message.encode(&mut written);
                prop_assert_eq!(ToFront::decode(&written), Ok(message));
            }
            let _ = Hello::decode(&bytes);
        }
    }
}
