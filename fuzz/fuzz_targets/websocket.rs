//! The decoder gives the same messages however the bytes are split, holds at most its limit, and returns.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use seawall::websocket::{Decoder, Fault, Incoming, Role};

const LIMIT: usize = 200;
/// Longer inputs show the same, and cost the time of many short ones.
const INPUT_BYTES_MAX: usize = 500;

fuzz_target!(|data: &[u8]| -> Corpus {
    if data.len() > INPUT_BYTES_MAX {
        return Corpus::Reject;
    }
    let Some((&[choice, piece], rest)) = data.split_first_chunk::<2>() else {
        return Corpus::Reject;
    };
    let role = if choice & 1 == 0 { Role::Server } else { Role::Client };
    // Frames cut out by a count, so that lengths and masks always fit.
    let bytes = if choice & 2 == 0 { rest.to_vec() } else { framed(rest, role) };
    let whole = read(role, &bytes, usize::MAX);
    assert_eq!(whole, read(role, &bytes, usize::from(piece) + 1));
    assert_eq!(whole, read(role, &bytes, 1));
    Corpus::Keep
});

/// Turns bytes into frames: first byte as it is, length from the second, masked if need be.
fn framed(mut rest: &[u8], role: Role) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((&[first, length], after)) = rest.split_first_chunk::<2>() {
        let (payload, after) = after.split_at(after.len().min(usize::from(length % 130)));
        rest = after;
        let mask = if role == Role::Server { 0x80 } else { 0 };
        let length = payload.len().to_be_bytes();
        bytes.push(first & 0x8f);
        if payload.len() < 126 {
            bytes.push(mask | length[7]);
        } else {
            bytes.extend([mask | 126, length[6], length[7]]);
        }
        if role == Role::Server {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.extend(payload);
    }
    bytes
}

#[derive(Debug, PartialEq)]
enum Seen {
    Message(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

fn read(role: Role, bytes: &[u8], piece: usize) -> (Vec<Seen>, Option<Fault>) {
    let mut decoder = Decoder::new(role);
    let mut seen = Vec::new();
    let mut bytes = bytes.to_vec();
    let piece = piece.min(bytes.len().max(1));
    for buffer in bytes.chunks_mut(piece) {
        let mut position = 0;
        loop {
            match decoder.feed(buffer, &mut position, LIMIT) {
                Ok(Some(Incoming::Message(bytes))) => {
                    assert!(bytes.len() <= LIMIT);
                    seen.push(Seen::Message(bytes.to_vec()));
                }
                Ok(Some(Incoming::PassedOver { .. })) => unreachable!("it was not asked for"),
                Ok(Some(Incoming::Ping(bytes))) => seen.push(Seen::Ping(bytes.to_vec())),
                Ok(Some(Incoming::Pong(bytes))) => seen.push(Seen::Pong(bytes.to_vec())),
                Ok(Some(Incoming::Close(code))) => seen.push(Seen::Close(code)),
                Ok(None) => break,
                Err(fault) => {
                    assert!(decoder.is_idle());
                    return (seen, Some(fault));
                }
            }
        }
        assert_eq!(position, buffer.len());
        assert!(decoder.buffered() <= 2 * LIMIT + 2048);
        assert_eq!(decoder.is_idle(), decoder.buffered() == 0);
    }
    (seen, None)
}
