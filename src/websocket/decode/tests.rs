//! The decoder: any boundaries give the same messages, faults are named, memory is given back soon.

use std::io::Cursor;

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;
use tokio_tungstenite::tungstenite::protocol::{self, WebSocket};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::*;
use crate::websocket::encode_message;

const MASK: [u8; 4] = [0x5a, 1, 0xff, 0x80];

/// What arrived, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Seen {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// Feeds the bytes in pieces of the given lengths (the last is repeated).
fn feed_all(
    decoder: &mut Decoder,
    bytes: &[u8],
    pieces: &[usize],
    limit: usize,
) -> (Vec<Seen>, Option<Fault>) {
    let mut seen = Vec::new();
    let mut rest = bytes;
    let mut lengths = pieces.iter().copied().chain(std::iter::repeat(*pieces.last().unwrap()));
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(lengths.next().unwrap().clamp(1, rest.len()));
        rest = after;
        let mut buffer = piece.to_vec();
        let mut position = 0;
        loop {
            match decoder.feed(&mut buffer, &mut position, limit) {
                Ok(Some(Incoming::Message(bytes))) => seen.push(Seen::Message(bytes.to_vec())),
                Ok(Some(Incoming::PassedOver { .. })) => panic!("it was not asked for"),
                Ok(Some(Incoming::Ping(bytes))) => seen.push(Seen::Ping(bytes.to_vec())),
                Ok(Some(Incoming::Pong(bytes))) => seen.push(Seen::Pong(bytes.to_vec())),
                Ok(Some(Incoming::Close(code))) => seen.push(Seen::Close(code)),
                Ok(None) => break,
                Err(fault) => return (seen, Some(fault)),
            }
        }
        assert_eq!(position, buffer.len(), "all input is taken in");
        assert!(decoder.buffered() <= 2 * bytes.len() + 2 * BUFFER_BYTES_MIN + 256);
    }
    (seen, None)
}

fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let header = FrameHeader {
        is_final: first & 0x80 != 0,
        rsv1: first & 0x40 != 0,
        rsv2: false,
        rsv3: false,
        opcode: OpCode::from(first & 0x0f),
        mask,
    };
    let mut bytes = Vec::new();
    header.format(payload.len() as u64, &mut bytes).unwrap();
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut bytes[start..], mask, 0);
    }
    bytes
}

fn fault_of(role: Role, frames: &[Vec<u8>]) -> Option<Fault> {
    let bytes = frames.concat();
    let whole = feed_all(&mut Decoder::new(role), &bytes, &[usize::MAX], 1000);
    assert_eq!(whole, feed_all(&mut Decoder::new(role), &bytes, &[1], 1000));
    whole.1
}

#[test]
fn each_fault_is_named() {
    let m = Some(MASK);
    let server = |frames: &[Vec<u8>]| fault_of(Role::Server, frames);
    assert_eq!(server(&[frame(0x82, None, b"x")]), Some(Fault::Unmasked));
    assert_eq!(fault_of(Role::Client, &[frame(0x82, m, b"x")]), Some(Fault::Masked));
    assert_eq!(server(&[frame(0xc2, m, b"x")]), Some(Fault::ReservedBits));
    assert_eq!(server(&[frame(0x83, m, b"x")]), Some(Fault::Opcode));
    assert_eq!(server(&[frame(0x8b, m, b"x")]), Some(Fault::Opcode));
    assert_eq!(server(&[frame(0x09, m, b"x")]), Some(Fault::ControlFragmented));
    assert_eq!(server(&[frame(0x89, m, &[0; 126])]), Some(Fault::ControlTooLong));
    assert_eq!(server(&[frame(0x80, m, b"x")]), Some(Fault::Continuation));
    assert_eq!(server(&[frame(0x02, m, b"x"), frame(0x82, m, b"y")]), Some(Fault::Interleaved));
    assert_eq!(server(&[frame(0x81, m, b"x")]), Some(Fault::Text));
    assert_eq!(server(&[frame(0x88, m, b"x")]), Some(Fault::CloseCode));
    assert_eq!(server(&[frame(0x88, m, &1005_u16.to_be_bytes())]), Some(Fault::CloseCode));
    assert_eq!(server(&[frame(0x88, m, b"\x03\xe8\xff\xfe")]), Some(Fault::CloseReason));
    let farewell = [&1000_u16.to_be_bytes()[..], "adieu, \u{e9}t\u{e9}".as_bytes()].concat();
    assert_eq!(server(&[frame(0x88, m, &farewell)]), None);
    assert_eq!(server(&[frame(0x82, m, &[0; 1001])]), Some(Fault::TooBig));
    assert_eq!(
        server(&[frame(0x02, m, &[0; 600]), frame(0x80, m, &[0; 401])]),
        Some(Fault::TooBig)
    );
    assert_eq!(server(&[frame(0x02, m, &[0; 600]), frame(0x80, m, &[0; 400])]), None);
    assert_eq!(
        server(&[frame(0x02, m, b"x"), frame(0x00, m, b"").repeat(65)]),
        Some(Fault::EmptyFragments)
    );
    assert_eq!(server(&[frame(0x02, m, b"x"), frame(0x00, m, b"").repeat(64)]), None);
}

#[test]
fn a_length_has_to_be_written_in_the_fewest_bytes() {
    let judged = |head: &[u8]| {
        let mut decoder = Decoder::new(Role::Client);
        decoder.feed(&mut head.to_vec(), &mut 0, 1 << 20).map(|incoming| incoming.is_some())
    };
    let refused = Err(Fault::LengthNotMinimal);
    assert_eq!(judged(&[0x82, 126, 0, 125]), refused);
    assert_eq!(judged(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), refused);
    assert_eq!(judged(&[0x89, 126, 0, 0]), refused);
    assert_eq!(judged(&[0x82, 126, 0, 126]), Ok(false));
    assert_eq!(judged(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Ok(false));
}

#[test]
fn the_announced_length_is_judged_before_anything_is_kept() {
    let mut decoder = Decoder::new(Role::Client);
    let mut huge = [0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(decoder.feed(&mut huge, &mut 0, usize::MAX >> 1), Err(Fault::TooBig));
    // A large one within the limit costs what has arrived, whatever is announced.
    let mut decoder = Decoder::new(Role::Client);
    let mut large = [0x82, 127, 0, 0, 0, 0, 0x03, 0, 0, 0, 1, 2, 3];
    assert_eq!(decoder.feed(&mut large, &mut 0, 64 << 20), Ok(None));
    assert!(decoder.buffered() < 2048);
    assert!(!decoder.is_idle());
}

#[test]
fn an_idle_decoder_is_small_and_holds_nothing() {
    assert!(size_of::<Decoder>() <= 16);
    let mut decoder = Decoder::new(Role::Server);
    let frames = [
        frame(0x02, Some(MASK), &[7; 3000]),
        frame(0x89, Some(MASK), b"ping"),
        frame(0x80, Some(MASK), b""),
    ];
    let (seen, fault) = feed_all(&mut decoder, &frames.concat(), &[11], 4096);
    assert_eq!(fault, None);
    assert_eq!(seen, [Seen::Ping(b"ping".to_vec()), Seen::Message(vec![7; 3000])]);
    assert!(decoder.is_idle());
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn after_this_sides_close_messages_are_read_and_not_stored() {
    let mut decoder = Decoder::new(Role::Server);
    let mut begun = frame(0x02, Some(MASK), &[7; 3000]);
    assert_eq!(decoder.feed(&mut begun, &mut 0, 4096), Ok(None));
    assert!(decoder.buffered() >= 3000);
    decoder.discard_messages();
    assert!(decoder.buffered() < 256, "what was stored is given back");
    // Any number of bytes beyond the limit, in frames within it, with control frames between them.
    let mut more = frame(0x00, Some(MASK), &[8; 3000]).repeat(40);
    more.extend(frame(0x89, Some(MASK), b"ping"));
    more.extend(frame(0x80, Some(MASK), &[9; 3000]));
    more.extend(frame(0x88, Some(MASK), &1000_u16.to_be_bytes()));
    let mut seen = Vec::new();
    for piece in more.chunks_mut(700) {
        let mut position = 0;
        while let Some(incoming) = decoder.feed(piece, &mut position, 4096).unwrap() {
            seen.push(match incoming {
                Incoming::Message(bytes) => Seen::Message(bytes.to_vec()),
                Incoming::PassedOver { .. } => panic!("it was not asked for"),
                Incoming::Ping(bytes) => Seen::Ping(bytes.to_vec()),
                Incoming::Pong(bytes) => Seen::Pong(bytes.to_vec()),
                Incoming::Close(code) => Seen::Close(code),
            });
        }
        assert!(decoder.buffered() < 512, "{}", decoder.buffered());
    }
    assert_eq!(
        seen,
        [Seen::Ping(b"ping".to_vec()), Seen::Message(vec![]), Seen::Close(Some(1000))]
    );
}

#[test]
fn a_whole_message_is_handed_out_in_place() {
    let mut bytes = frame(0x82, Some(MASK), b"hello");
    let range = bytes.as_ptr_range();
    let mut decoder = Decoder::new(Role::Server);
    let Ok(Some(Incoming::Message(message))) = decoder.feed(&mut bytes, &mut 0, 10) else {
        panic!("no message");
    };
    assert_eq!(message, b"hello");
    assert!(range.contains(&message.as_ptr()));
}

#[test]
fn nothing_is_taken_in_after_a_close() {
    let frames = [frame(0x88, None, &[0x03, 0xe9, b'b']), frame(0x82, None, b"late")].concat();
    for piece in [1, 2, 100] {
        let mut decoder = Decoder::new(Role::Client);
        let (seen, fault) = feed_all(&mut decoder, &frames, &[piece], 100);
        assert_eq!((seen, fault), (vec![Seen::Close(Some(1001))], None));
    }
    let (seen, _) = feed_all(&mut Decoder::new(Role::Client), &frame(0x88, None, b""), &[1], 100);
    assert_eq!(seen, [Seen::Close(None)]);
}

/// Messages, each with the places where it is cut into fragments, and whether a ping comes in between.
fn messages() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<usize>, bool)>> {
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        proptest::collection::vec(any::<u8>(), 65_500..65_600),
    ];
    let cuts = proptest::collection::vec(any::<usize>(), 0..4);
    proptest::collection::vec((bytes, cuts, any::<bool>()), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_fragments_and_any_reads_give_the_message(
        messages in messages(),
        pieces in proptest::collection::vec(1_usize..5000, 1..20),
        mask in proptest::option::of(any::<[u8; 4]>()),
    ) {
        let role = if mask.is_some() { Role::Server } else { Role::Client };
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (message, cuts, ping) in messages {
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (message.len() + 1)).collect();
            places.extend([0, message.len()]);
            places.sort_unstable();
            let last = places.len() - 2;
            for (index, pair) in places.windows(2).enumerate() {
                let opcode = if index == 0 { 2 } else { 0 };
                let fin = if index == last { 0x80 } else { 0 };
                bytes.extend(frame(opcode | fin, mask, &message[pair[0]..pair[1]]));
                if ping && index < last {
                    bytes.extend(frame(0x89, mask, b"are you there"));
                    expected.push(Seen::Ping(b"are you there".to_vec()));
                }
            }
            expected.push(Seen::Message(message));
        }
        let mut decoder = Decoder::new(role);
        let (seen, fault) = feed_all(&mut decoder, &bytes, &pieces, 1 << 17);
        prop_assert_eq!(fault, None);
        prop_assert_eq!(seen, expected);
        prop_assert!(decoder.is_idle());
    }

    #[test]
    fn arbitrary_bytes_give_the_same_whatever_the_reads(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        pieces in proptest::collection::vec(1_usize..20, 1..20),
    ) {
        let whole = feed_all(&mut Decoder::new(Role::Server), &bytes, &[usize::MAX], 100);
        let split = feed_all(&mut Decoder::new(Role::Server), &bytes, &pieces, 100);
        prop_assert_eq!(whole, split);
    }

    #[test]
    fn what_tungstenite_writes_is_read(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..400), 1..5),
        piece in 1_usize..100,
    ) {
        for (theirs, ours) in
            [(protocol::Role::Client, Role::Server), (protocol::Role::Server, Role::Client)]
        {
            let mut socket = WebSocket::from_raw_socket(Cursor::new(Vec::new()), theirs, None);
            let mut expected = Vec::new();
            for message in &messages {
                socket.send(Message::Ping(Bytes::from_static(b"p"))).unwrap();
                socket.send(Message::Binary(message.clone().into())).unwrap();
                expected.extend([Seen::Ping(b"p".to_vec()), Seen::Message(message.clone())]);
            }
            let bytes = socket.get_ref().get_ref().clone();
            let (seen, fault) = feed_all(&mut Decoder::new(ours), &bytes, &[piece], 1000);
            prop_assert_eq!(fault, None);
            prop_assert_eq!(seen, expected);
        }
    }
}

#[test]
fn a_message_over_the_limit_is_passed_over_and_others_follow() {
    let mut stream = Vec::new();
    encode_message(false, &[1; 50], &mut stream);
    encode_message(false, &[2; 5_000], &mut stream);
    encode_message(false, &[3; 100], &mut stream);
    // In fragments, with a ping between them.
    let long = [4; 60];
    for (opcode, is_last) in [(0x02, false), (0x00, false), (0x00, true)] {
        stream.extend([opcode | if is_last { 0x80 } else { 0 }, 60]);
        stream.extend(long);
        stream.extend([0x89, 0]);
    }
    encode_message(false, &[5; 20], &mut stream);
    for piece in [1, 7, 100, 10_000] {
        let mut decoder = Decoder::new(Role::Client).passing_over();
        let mut seen = Vec::new();
        for bytes in stream.clone().chunks_mut(piece) {
            let mut position = 0;
            while let Some(incoming) = decoder.feed(bytes, &mut position, 100).unwrap() {
                match incoming {
                    Incoming::Message(message) => seen.push((message[0], message.len() as u64)),
                    Incoming::PassedOver { head, bytes } => {
                        assert!(head.len() <= HEAD_BYTES_MAX && !head.is_empty());
                        seen.push((head[0], bytes));
                    }
                    Incoming::Ping(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            assert!(decoder.buffered() < 2_000, "not the long one");
        }
        assert_eq!(seen, [(1, 50), (2, 5_000), (3, 100), (4, 180), (5, 20)], "{piece}");
        assert!(decoder.is_idle());
    }
}

#[test]
fn a_message_that_does_not_end_is_passed_over_up_to_a_bound() {
    let mut decoder = Decoder::new(Role::Client).passing_over();
    let fragment = |opcode: u8| {
        let mut frame = vec![opcode, 127, 0, 0, 0, 0, 0x10, 0, 0, 0];
        frame.resize(10 + (1 << 28), 0);
        frame
    };
    let mut feed = |mut bytes: Vec<u8>| {
        let mut position = 0;
        decoder.feed(&mut bytes, &mut position, 100).map(|incoming| incoming.is_some())
    };
    assert_eq!(feed(fragment(0x02)), Ok(false));
    (0..3).for_each(|_| assert_eq!(feed(fragment(0x00)), Ok(false)));
    assert_eq!(feed(vec![0x00, 20]), Err(Fault::TooBig));
}
