//! What members say to each other, as bytes: format, which message, its fields in their order.

use crate::core::ownership::events::{Ask, CallId, PeerMessage};
use crate::core::ownership::ids::{Epoch, MapVersion, RunId};
use crate::core::ownership::shard::{SHARDS, ShardId};
use crate::core::ownership::view::ViewDigest;
use crate::core::ownership::{Snapshot, StoreAnswer};

use super::answers::{ANSWER_BYTES_MAX, decode_answer, encode_answer};
use super::calls::{decode_call, encode_call, epoch, put_list, shard};
use super::reader::{ValueFault, ValueReader};
use super::{FORMAT, encode_epoch};

/// The longest message, in bytes: an answer of the store, and what it is the answer to.
pub const PEER_BYTES_MAX: usize = ANSWER_BYTES_MAX + 64;

const ASK: u8 = 0;
const CONFIRM: u8 = 1;
const NEWER: u8 = 2;
const RELAY: u8 = 3;
const RELAYED: u8 = 4;
const WANT: u8 = 5;
const OFFER: u8 = 6;
const DECLINE: u8 = 7;
const READY: u8 = 8;
const CANCEL: u8 = 9;
const CHANGED: u8 = 10;
const RELAY_REFUSED: u8 = 11;

/// Appends the bytes of a message.
pub fn encode_peer_message(message: &PeerMessage, out: &mut Vec<u8>) {
    out.push(FORMAT);
    match message {
        PeerMessage::Ask(ask) => put_ask(out, ask),
        PeerMessage::Confirm(number) => put_number(out, CONFIRM, *number),
        PeerMessage::Newer(content) => {
            out.push(NEWER);
            out.extend(encode_answer(&StoreAnswer::Read(content.clone())));
        }
        PeerMessage::Relay(id, call) => {
            put_number(out, RELAY, id.0);
            out.extend(encode_call(call));
        }
        PeerMessage::Relayed(id, answer) => {
            put_number(out, RELAYED, id.0);
            out.extend(encode_answer(answer));
        }
        PeerMessage::RelayRefused(id) => put_number(out, RELAY_REFUSED, id.0),
        PeerMessage::Want(shards) => {
            out.push(WANT);
            put_list(out, shards, |out, shard| out.extend(shard.get().to_be_bytes()));
        }
        PeerMessage::Offer(shard, epoch) => put_tenure(out, OFFER, *shard, *epoch),
        PeerMessage::Decline(shard, epoch) => put_tenure(out, DECLINE, *shard, *epoch),
        PeerMessage::Ready(shard, epoch) => put_tenure(out, READY, *shard, *epoch),
        PeerMessage::Cancel(shard, epoch) => put_tenure(out, CANCEL, *shard, *epoch),
        PeerMessage::Changed(version) => put_number(out, CHANGED, version.0),
    }
}

fn put_number(out: &mut Vec<u8>, word: u8, number: u64) {
    out.push(word);
    out.extend(number.to_be_bytes());
}

fn put_tenure(out: &mut Vec<u8>, word: u8, shard: ShardId, epoch: Epoch) {
    out.push(word);
    out.extend(shard.get().to_be_bytes());
    out.extend(encode_epoch(epoch));
}

fn put_ask(out: &mut Vec<u8>, ask: &Ask) {
    let Ask { number, digest, read: (run, version), live } = ask;
    put_number(out, ASK, *number);
    out.extend(digest.0.to_be_bytes());
    out.extend(run.0.to_be_bytes());
    out.extend(version.0.to_be_bytes());
    out.push(u8::from(live.is_some()));
    if let Some(live) = live {
        out.extend(live.0.to_be_bytes());
    }
}

/// Reads a message.
///
/// # Errors
/// Says what is wrong with the bytes. The fault of the node that sent them.
pub fn decode_peer_message(bytes: &[u8]) -> Result<PeerMessage, ValueFault> {
    let mut reader = ValueReader::up_to(bytes, PEER_BYTES_MAX)?;
    reader.own_format()?;
    Ok(match reader.byte()? {
        ASK => PeerMessage::Ask(ask(&mut reader)?),
        CONFIRM => PeerMessage::Confirm(reader.u64()?),
        NEWER => PeerMessage::Newer(content(reader.rest())?),
        RELAY => {
            let id = CallId(reader.u64()?);
            PeerMessage::Relay(id, Box::new(decode_call(reader.rest())?))
        }
        RELAYED => {
            let id = CallId(reader.u64()?);
            PeerMessage::Relayed(id, Box::new(decode_answer(reader.rest())?))
        }
        WANT => PeerMessage::Want(reader.list(SHARDS.into(), shard)?),
        OFFER => PeerMessage::Offer(shard(&mut reader)?, epoch(&mut reader)?),
        DECLINE => PeerMessage::Decline(shard(&mut reader)?, epoch(&mut reader)?),
        READY => PeerMessage::Ready(shard(&mut reader)?, epoch(&mut reader)?),
        CANCEL => PeerMessage::Cancel(shard(&mut reader)?, epoch(&mut reader)?),
        CHANGED => PeerMessage::Changed(MapVersion(reader.u64()?)),
        RELAY_REFUSED => PeerMessage::RelayRefused(CallId(reader.u64()?)),
        _ => return Err(ValueFault::Field("message")),
    })
}

fn ask(reader: &mut ValueReader<'_>) -> Result<Ask, ValueFault> {
    let run = |reader: &mut ValueReader<'_>| reader.array().map(u128::from_be_bytes).map(RunId);
    Ok(Ask {
        number: reader.u64()?,
        digest: ViewDigest(reader.u64()?),
        read: (run(reader)?, MapVersion(reader.u64()?)),
        live: if reader.flag()? { Some(run(reader)?) } else { None },
    })
}

fn content(bytes: &[u8]) -> Result<Box<Snapshot>, ValueFault> {
    match decode_answer(bytes)? {
        StoreAnswer::Read(content) => Ok(content),
        StoreAnswer::Renew(_) | StoreAnswer::Change(_) => Err(ValueFault::Field("content")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::ownership::generate::{Dice, call, node};
    use crate::core::ownership::{Registry, StoreCall};

    fn hex(message: &PeerMessage) -> String {
        bytes(message).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(message: &PeerMessage) -> Vec<u8> {
        let mut out = Vec::new();
        encode_peer_message(message, &mut out);
        out
    }

    fn some_shard() -> ShardId {
        ShardId::new(0x3ff).unwrap()
    }

    fn some_epoch() -> Epoch {
        Epoch { number: 9, taker: node(1) }
    }

    fn some_ask(live: Option<RunId>) -> PeerMessage {
        let read = (RunId(0xab), MapVersion(3));
        PeerMessage::Ask(Ask { number: 7, digest: ViewDigest(5), read, live })
    }

    #[test]
    fn every_version_reads_these_messages() {
        let (seven, run) = ("0000000000000007", "000000000000000000000000000000ab");
        let asked = format!("0100{seven}0000000000000005{run}0000000000000003");
        assert_eq!(hex(&some_ask(None)), format!("{asked}00"));
        assert_eq!(hex(&some_ask(Some(RunId(0xab)))), format!("{asked}01{run}"));
        assert_eq!(hex(&PeerMessage::Confirm(7)), format!("0101{seven}"));
        let relay = PeerMessage::Relay(CallId(7), Box::new(StoreCall::Read));
        assert_eq!(hex(&relay), format!("0103{seven}0100"));
        assert_eq!(hex(&PeerMessage::Want(vec![some_shard()])), "0105000103ff");
        let tenure = "03ff00000000000000090000000000000200";
        let (shard, epoch) = (some_shard(), some_epoch());
        assert_eq!(hex(&PeerMessage::Offer(shard, epoch)), format!("0106{tenure}"));
        assert_eq!(hex(&PeerMessage::Decline(shard, epoch)), format!("0107{tenure}"));
        assert_eq!(hex(&PeerMessage::Ready(shard, epoch)), format!("0108{tenure}"));
        assert_eq!(hex(&PeerMessage::Cancel(shard, epoch)), format!("0109{tenure}"));
        assert_eq!(hex(&PeerMessage::Changed(MapVersion(7))), format!("010a{seven}"));
        assert_eq!(hex(&PeerMessage::RelayRefused(CallId(7))), format!("010b{seven}"));
    }

    #[test]
    fn only_all_that_the_store_holds_is_news() {
        let mut strange = vec![FORMAT, NEWER];
        let renewed = PeerMessage::Relayed(CallId(1), Box::new(late()));
        strange.extend(&bytes(&renewed)[10..]);
        assert_eq!(decode_peer_message(&strange), Err(ValueFault::Field("content")));
        assert_eq!(decode_peer_message(&[FORMAT, 99]), Err(ValueFault::Field("message")));
        assert_eq!(decode_peer_message(&[FORMAT + 1]), Err(ValueFault::Field("format")));
    }

    fn late() -> StoreAnswer {
        let run = RunId(1);
        StoreAnswer::Renew(Box::new(crate::core::ownership::RenewAnswer::Late { run }))
    }

    /// A message of each kind.
    fn one_of_each(seed: u64) -> Vec<PeerMessage> {
        let mut dice = Dice(seed);
        let mut registry = Registry::new(RunId(seed.into()));
        for _ in 0..20 {
            let call = call(&mut dice, &registry.read());
            registry.apply(&call);
        }
        let call = call(&mut dice, &registry.read());
        let answer = registry.apply(&call);
        let (shard, epoch) = (some_shard(), some_epoch());
        vec![
            some_ask(None),
            some_ask(Some(RunId(seed.into()))),
            PeerMessage::Confirm(seed),
            PeerMessage::Newer(Box::new(registry.read())),
            PeerMessage::Relay(CallId(seed), Box::new(call)),
            PeerMessage::Relayed(CallId(seed), Box::new(answer)),
            PeerMessage::Want(ShardId::all().take(64).collect()),
            PeerMessage::Offer(shard, epoch),
            PeerMessage::Decline(shard, epoch),
            PeerMessage::Ready(shard, epoch),
            PeerMessage::Cancel(shard, epoch),
            PeerMessage::Changed(MapVersion(seed)),
            PeerMessage::RelayRefused(CallId(seed)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn messages_come_out_as_they_went_in(seed: u64, cut: prop::sample::Index) {
            for message in one_of_each(seed) {
                let written = bytes(&message);
                let cut = &written[..cut.index(written.len())];
                prop_assert_eq!(decode_peer_message(cut), Err(ValueFault::Ends));
                prop_assert_eq!(decode_peer_message(&written), Ok(message));
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            drop(decode_peer_message(&bytes));
        }
    }
}
