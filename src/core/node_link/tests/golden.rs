//! Golden bytes: another version must read what this one writes. A change here is a new format.

use super::super::*;
use super::{UID, epoch};
use crate::core::codec::Undecodable;
use crate::core::ownership::{Epoch, MapVersion, NodeIncarnation, NodeName, ShardId};
use crate::ident::{ConnectionId, Incarnation, LinkId, SequenceNum, ServerId};
use crate::opamp::field_set::{FieldSet, agent_field};

const HANDLE: Handle = Handle { uid: UID, connection: ConnectionId(300) };
/// A handle's bytes.
const NAME: &str = "003031323334353637383961626364656 6ac02";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn golden(head: &str, rest: &str) -> String {
    format!("{head}{NAME}{rest}").replace(' ', "")
}

fn id() -> AttachmentId {
    AttachmentId { epoch: epoch(3), number: 9 }
}

fn report<'a>(digests: &'a [u8], fields: &'a [u8]) -> AgentReport<'a> {
    let parts = FieldSet::of(&[agent_field::HEALTH]);
    AgentReport {
        sequence_num: SequenceNum(5),
        capabilities: 0x1805,
        flags: 1,
        present: FieldSet::of(&[agent_field::INSTANCE_UID, agent_field::HEALTH]),
        heartbeats: Some(SequenceNum(4)),
        has_map: true,
        digests: PartDigests::new(7, parts, digests),
        gone: parts,
        fields,
    }
}

#[test]
fn frames_of_a_former_home_are_golden() {
    let link = LinkId { server: ServerId(2), index: 300 };
    let uid = NAME.replace(' ', "").strip_suffix("ac02").unwrap().to_owned();
    let (incarnation, message) = (Incarnation(5), &[0x30, 1][..]);
    let said = ServerSaid { uid: UID, link, incarnation, message, word: None };
    let name = WordName { origin: epoch(3).taker, number: 300 };
    let word = Some(NamedWord { name, settled: 299 });
    let named = ServerSaid { word, ..said };
    let server = link.server;
    for (frame, head, rest) in [
        (ToNext::ServerSaid(said), "60", format!("{uid}02ac0205023001")),
        (
            ToNext::WordTaken(WordTaken { uid: UID, name }),
            "63",
            format!("{uid}0807060504030201ac02"),
        ),
        (ToNext::LetGo(LetGo { uid: UID, server, missed: true }), "61", format!("{uid}0201")),
        (
            ToNext::LinkEnded(LinkEnded { link, links: 4, up_to: Incarnation(300) }),
            "62",
            "02ac0204ac02".to_owned(),
        ),
    ] {
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        assert_eq!(hex(&bytes), format!("{head}{rest}"));
        assert!(ToNext::is_one(&bytes) && !ToFront::is_one(&bytes));
        assert!(ToHome::decode(&bytes).is_err());
        assert_eq!(ToNext::decode(&bytes), Ok(frame));
        for cut in 0..bytes.len() {
            assert!(ToNext::decode(&bytes[..cut]).is_err());
        }
    }
    // The name is what format 2 appends: format 1 passes it over.
    let (mut plain, mut bytes) = (Vec::new(), Vec::new());
    ToNext::ServerSaid(said).encode(&mut plain);
    ToNext::ServerSaid(named).encode(&mut bytes);
    assert_eq!(hex(&bytes), hex(&plain) + "0807060504030201ac02ab02");
    assert_eq!(ToNext::decode(&bytes), Ok(ToNext::ServerSaid(named)));
    for cut in plain.len() + 1..bytes.len() {
        assert!(ToNext::decode(&bytes[..cut]).is_err());
    }
}

#[test]
fn frames_for_a_home_are_golden() {
    let digests = [0xdd; DIGEST_BYTES];
    let report = report(&digests, &[0x2a, 0]);
    let report_hex = format!("3f05853022010407000000000000 0020{} 20022a00", "dd".repeat(16));
    let attach = Attach {
        resumes: Some(id()),
        transport: AgentConnection::WebSocket,
        client: 2,
        identity: b"ci",
        forwarded_lately: true,
        next: 6,
        had: 1,
        credit: 1 << 20,
        heartbeats: None,
        first: Some(report),
    };
    let mut entries = Vec::new();
    HeartbeatsEntry { handle: HANDLE, after: 6, last: SequenceNum(8) }.put(&mut entries);
    let detach =
        Detach { reason: DetachReason::Drained, heartbeats: Some(SequenceNum(8)), missed: true };
    let attach_hex =
        golden("01", "01030807060504030201090002026369010601 808040 00 01") + &report_hex;
    let cases = [
        (ToHome::Attach(HANDLE, attach), attach_hex),
        (ToHome::Message(HANDLE, Numbered { number: 6, report }), golden("02", "06") + &report_hex),
        (ToHome::Heartbeats(HeartbeatsBatch::of(1, &entries)), golden("0301", "0608")),
        (ToHome::Open(HANDLE), golden("04", "")),
        (ToHome::Alive(HANDLE, 4), golden("05", "04")),
        (ToHome::Written(HANDLE, 2), golden("06", "02")),
        (ToHome::Detach(HANDLE, detach), golden("07", "01010108")),
        (ToHome::AllHere(ShardId::new(1000).unwrap()), "08e807".to_owned()),
        (ToHome::WasAlive(HANDLE), golden("09", "")),
        (ToHome::FrontLeaves, "0a".to_owned()),
    ];
    for (message, expected) in cases {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        assert_eq!(hex(&frame), expected.replace(' ', ""), "{message:?}");
        assert_eq!(ToHome::decode(&frame).as_ref(), Ok(&message));
        frame.push(0xff);
        assert_eq!(ToHome::decode(&frame), Ok(message), "what a later version appends");
    }
}

#[test]
fn frames_for_a_front_are_golden() {
    let parts = FieldSet::of(&[agent_field::HEALTH]);
    let attached = Attached { id: id(), epoch: 4, had: 6, needs: parts, credit: 1 << 18 };
    let message =
        AgentFrame { epoch: 4, had: 6, number: 2, kind: ForAgentKind::Unasked, bytes: &[0x30, 1] };
    let cases = [
        (ToFront::Attached(HANDLE, attached), golden("81", "0308070605040302010904 06 20 808010")),
        (ToFront::Confirmed(HANDLE, 6), golden("82", "06")),
        (ToFront::Needs(HANDLE, Needs { number: 7, parts }), golden("83", "0720")),
        (ToFront::AskOpen(HANDLE), golden("84", "")),
        (ToFront::Ping(HANDLE, 4), golden("85", "04")),
        (ToFront::AgentFrame(HANDLE, message), golden("86", "04060201023001")),
        (ToFront::Close(HANDLE, CloseOrder::Cloned), golden("87", "05")),
        (ToFront::Later(HANDLE), golden("88", "")),
        (ToFront::NotMine(HANDLE, MapVersion(12)), golden("89", "0c")),
        (ToFront::Told(HANDLE, 6), golden("8a", "06")),
    ];
    for (message, expected) in cases {
        let mut frame = Vec::new();
        message.encode(&mut frame);
        assert_eq!(hex(&frame), expected, "{message:?}");
        assert_eq!(ToFront::decode(&frame), Ok(message));
        frame.push(0xff);
        assert_eq!(ToFront::decode(&frame), Ok(message), "what a later version appends");
    }
}

#[test]
fn each_kind_of_frame_is_told_by_its_first_byte() {
    let bytes = (1..=10_u8).chain(0x81..=0x8a).chain(0x41..=0x43).chain(0x60..=0x62);
    let kinds: std::collections::HashSet<NodeMessageKind> =
        bytes.map(|byte| NodeMessageKind::of(&[byte, 0])).collect();
    assert_eq!(kinds.len(), 26);
    assert!(!kinds.contains(&NodeMessageKind::Unknown), "{kinds:?}");
    let mut frame = Vec::new();
    ToHome::Written(HANDLE, 2).encode(&mut frame);
    assert_eq!(NodeMessageKind::of(&frame), NodeMessageKind::Written);
    assert_eq!(
        (NodeMessageKind::of(&[]), NodeMessageKind::of(&[0x55])),
        (NodeMessageKind::Unknown, NodeMessageKind::Unknown)
    );
}

#[test]
fn a_hello_is_golden_and_the_lower_format_is_spoken() {
    let hello = Hello {
        format: FORMAT,
        incarnation: NodeIncarnation::new(0x0102_0304_0506_0708).unwrap(),
        name: NodeName::try_new("node-1").unwrap(),
    };
    let mut frame = Vec::new();
    hello.encode(&mut frame);
    assert_eq!(hex(&frame), "73776e6c020807060504030201066e6f64652d31");
    let later = Hello { format: 9, ..hello.clone() };
    assert_eq!((hello.common_format(&later), later.common_format(&hello)), (2, 2));
    frame.push(0xff);
    assert_eq!(Hello::decode(&frame), Ok(hello));
    assert_eq!(Hello::decode(b"GET / HTTP/1.1"), Err(Undecodable::Unknown("a hello")));
}

#[test]
fn the_other_nodes_fault_is_named() {
    let whose = |frame: &[u8]| ToHome::decode(frame).unwrap_err().to_string();
    assert_eq!(whose(&[]), "the other node sent bytes that end within a frame for a home");
    assert!(whose(&[0x55]).contains("kind or format that this version does not know"));
    assert!(whose(&[3, 0x80, 0x80, 4]).contains("a batch of heartbeats that is longer"));
    assert!(whose(&[8, 0x80, 8]).contains("a shard with a value that has no meaning"));
    assert_eq!(ToFront::decode(&[1]), Err(Undecodable::Unknown("a frame for a front")));
}

#[test]
fn a_later_home_or_a_later_number_is_higher() {
    let of = |number, home| AttachmentId { epoch: epoch(home), number };
    assert!(of(1, 3) < of(2, 3) && of(9, 3) < of(1, 4));
    let other = Epoch { taker: NodeIncarnation::new(1).unwrap(), ..epoch(3) };
    assert_ne!(of(1, 3).cmp(&AttachmentId { epoch: other, number: 1 }), std::cmp::Ordering::Equal);
}
