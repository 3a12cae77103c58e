//! Pings that say whose they are, where several agents share a connection: a pong has the payload of its ping (RFC
//! 6455, section 5.5.3).

use super::frame::{Context, Frame, FrameKind};
use super::{Role, encode_ping};

/// Appends frames that this end has written, whole and without masks; `tag` goes behind the payload of each ping.
pub fn copy_tagged(frames: &[u8], tag: [u8; 4], out: &mut Vec<u8>) {
    let context = Context { role: Role::Client, fragmented: false, room: usize::MAX };
    let (mut copied, mut at) = (0, 0);
    while let Ok(Some((frame, head))) = Frame::read(&frames[at..], context) {
        let payload = at + head..(at + head + frame.missing).min(frames.len());
        if frame.kind == FrameKind::Ping {
            out.extend_from_slice(&frames[copied..at]);
            encode_ping(None, &[&frames[payload.clone()], &tag].concat(), out);
            copied = payload.end;
        }
        at = payload.end;
    }
    out.extend_from_slice(&frames[copied..]);
}

#[cfg(test)]
mod tests {
    use super::super::{Decoder, Incoming, encode_message};
    use super::*;

    #[test]
    fn pings_get_a_tag_and_all_else_stays() {
        let mut frames = Vec::new();
        encode_message(true, &[7; 300], &mut frames);
        encode_ping(None, &[1, 2], &mut frames);
        encode_message(false, &[], &mut frames);
        encode_ping(None, &[3, 4, 5, 6], &mut frames);
        let mut tagged = vec![0x8a, 0];
        copy_tagged(&frames, [9; 4], &mut tagged);
        let (mut decoder, mut position, mut got) = (Decoder::new(Role::Client), 0, Vec::new());
        while let Some(next) = decoder.feed(&mut tagged, &mut position, 1 << 10).unwrap() {
            got.push(match next {
                Incoming::Message(bytes) => (b'm', bytes.to_vec()),
                Incoming::Ping(bytes) => (b'i', bytes.to_vec()),
                Incoming::Pong(bytes) => (b'o', bytes.to_vec()),
                Incoming::Close(_) | Incoming::PassedOver { .. } => unreachable!(),
            });
        }
        let message = [&[0][..], &[7; 300]].concat();
        let pings = [vec![1, 2, 9, 9, 9, 9], vec![3, 4, 5, 6, 9, 9, 9, 9]];
        let [first, second] = pings;
        let all = [(b'o', vec![]), (b'm', message), (b'i', first), (b'm', vec![]), (b'i', second)];
        assert_eq!(got, all);
        let mut plain = Vec::new();
        copy_tagged(&[0x81], [9; 4], &mut plain);
        assert_eq!(plain, [0x81], "what is no whole frame stays as it is");
    }
}
