//! Frames as gorilla's client writes them: masked, and in fragments of 4 KiB.

use seawall::websocket::apply_mask;

use super::mix::Mix;

/// gorilla's default write buffer: the rest of a longer message goes into continuation frames.
const FRAGMENT_BYTES: usize = 4096;

/// Appends a binary message in as many frames as it takes.
pub(crate) fn binary(message: &[u8], mix: &mut Mix, out: &mut Vec<u8>) {
    const BINARY: u8 = 0x2;
    const FINAL: u8 = 0x80;
    let count = message.len().div_ceil(FRAGMENT_BYTES).max(1);
    for number in 0..count {
        let end = message.len().min((number + 1) * FRAGMENT_BYTES);
        let fragment = &message[number * FRAGMENT_BYTES..end];
        let opcode = if number == 0 { BINARY } else { 0 };
        out.push(if number + 1 == count { opcode | FINAL } else { opcode });
        match u8::try_from(fragment.len()) {
            Ok(length) if length < 126 => out.push(0x80 | length),
            // At most FRAGMENT_BYTES, so two bytes hold it.
            _ => {
                out.push(0x80 | 126);
                out.extend_from_slice(&(fragment.len() as u64).to_be_bytes()[6..]);
            }
        }
        let [a, b, c, d, ..] = mix.next().to_le_bytes();
        let mask = [a, b, c, d];
        out.extend_from_slice(&mask);
        let start = out.len();
        out.extend_from_slice(fragment);
        apply_mask(&mut out[start..], mask, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seawall::websocket::{Decoder, Incoming, Role};

    #[test]
    fn a_server_reads_what_was_written() {
        let mut mix = Mix::new(1, 1, 1);
        for length in [0, 1, 125, 126, 4095, 4096, 4097, 10_240, 100_000] {
            let message: Vec<u8> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
            let mut out = Vec::new();
            binary(&message, &mut mix, &mut out);
            let mut decoder = Decoder::new(Role::Server);
            let read = decoder.feed(&mut out, &mut 0, usize::MAX).unwrap();
            assert_eq!(read, Some(Incoming::Message(&message)));
        }
    }
}
