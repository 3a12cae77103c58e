//! What is written is read by tungstenite, at either end and at every size class.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::*;

const MASK: [u8; 4] = [0x5a, 1, 0xff, 0x80];

fn read_all(bytes: Vec<u8>, reader: Role, count: usize) -> Vec<Message> {
    let mut socket = WebSocket::from_raw_socket(Cursor::new(bytes), reader, None);
    // Answers would overwrite what is still to be read.
    (0..count).map(|_| socket.read().unwrap()).collect()
}

#[test]
fn messages_of_every_size_class_whatever_was_expected() {
    let lengths = [0, 1, 124, 125, 126, 65_534, 65_535, 65_536, 100_000];
    for (mask, reader) in [(None, Role::Client), (Some(MASK), Role::Server)] {
        for expected in lengths {
            let mut out = b"before".to_vec();
            for length in lengths {
                let open = begin_message(mask, expected, &mut out);
                out.resize(out.len() + length, 0xa5);
                finish_message(open, &mut out);
            }
            for (message, length) in
                read_all(out[6..].to_vec(), reader, lengths.len()).iter().zip(lengths)
            {
                let mut whole = vec![0xa5; length + 1];
                whole[0] = 0;
                assert_eq!(*message, Message::Binary(whole.into()), "{length} {expected}");
            }
        }
    }
}

#[test]
fn a_copied_message_is_the_same_bytes() {
    for length in [0, 124, 125, 126, 65_534, 65_535, 65_536] {
        let payload = vec![3; length];
        let (mut copied, mut written) = (Vec::new(), Vec::new());
        encode_message(true, &payload, &mut copied);
        let open = begin_message(None, length, &mut written);
        written.extend_from_slice(&payload);
        finish_message(open, &mut written);
        assert_eq!(copied, written);
        copied.clear();
        encode_message(false, &payload, &mut copied);
        assert_eq!(read_all(copied, Role::Client, 1), [Message::Binary(payload.into())]);
    }
}

#[test]
fn control_frames() {
    for (mask, reader) in [(None, Role::Client), (Some(MASK), Role::Server)] {
        let mut out = Vec::new();
        encode_pong(mask, b"pong", &mut out);
        assert_eq!(read_all(out, reader, 1), [Message::Pong(Bytes::from_static(b"pong"))]);
        let mut out = Vec::new();
        encode_ping(mask, &[1; 200], &mut out);
        assert_eq!(read_all(out, reader, 1), [Message::Ping(vec![1; 125].into())]);
        let mut out = Vec::new();
        encode_close(mask, 1012, &mut out);
        let [Message::Close(Some(frame))] = &read_all(out, reader, 1)[..] else {
            panic!("no close");
        };
        assert_eq!(u16::from(frame.code), 1012);
    }
}
