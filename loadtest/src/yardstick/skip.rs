//! Finds where WebSocket messages end, which is the least that a server must do.

/// How many of a message's first bytes are stored: the header byte and the instance uid field.
const START_BYTES: usize = 19;

/// Position in a client's stream of frames.
#[derive(Debug, Default)]
pub(super) struct Skipper {
    header: [u8; 14],
    header_len: usize,
    left: u64,
    is_final: bool,
    start: [u8; START_BYTES],
    start_len: usize,
}

impl Skipper {
    /// Takes in bytes, and calls `each` with the first bytes of each message that ends in them.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.left == 0 {
                self.header[self.header_len] = bytes[0];
                self.header_len += 1;
                bytes = &bytes[1..];
                if !self.header_is_whole() {
                    continue;
                }
            } else {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.store_start(&bytes[..here]);
                self.left -= here as u64;
                bytes = &bytes[here..];
            }
            if self.left == 0 {
                self.header_len = 0;
                if self.is_final {
                    each(&self.start[..self.start_len]);
                    self.start_len = 0;
                }
            }
        }
    }

    /// Unmasks and stores the message's first bytes. They arrive in one read, since agents send at
    /// least this much at once.
    fn store_start(&mut self, bytes: &[u8]) {
        let mask = &self.header[self.header_len - 4..self.header_len];
        while self.start_len < START_BYTES && self.start_len < bytes.len() {
            self.start[self.start_len] = bytes[self.start_len] ^ mask[self.start_len % 4];
            self.start_len += 1;
        }
    }

    /// Whether the header has all its bytes; then `left` and `is_final` are set.
    fn header_is_whole(&mut self) -> bool {
        if self.header_len < 2 {
            return false;
        }
        let short = u64::from(self.header[1] & 0x7f);
        let extended = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        // Four more for the mask, which every client's frame has.
        if self.header_len < 2 + extended + 4 {
            return false;
        }
        let length = &self.header[2..2 + extended];
        self.left = match extended {
            0 => short,
            _ => length.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        self.is_final = self.header[0] & 0x80 != 0;
        true
    }
}

/// The key of an upgrade request, once the request is whole.
pub(super) fn upgrade_key(head: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(head).ok().filter(|text| text.ends_with("\r\n\r\n"))?;
    text.split_once("Sec-WebSocket-Key: ")?.1.split("\r\n").next()
}

/// The answer to it.
pub(super) fn upgrade_answer(key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(is_final: bool, payload: &[u8], out: &mut Vec<u8>) {
        out.push(if is_final { 0x82 } else { 0x02 });
        match payload.len() {
            length @ 0..126 => out.push(0x80 | u8::try_from(length).unwrap()),
            length => {
                out.push(0x80 | 126);
                out.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
        }
        out.extend([1, 2, 3, 4]);
        out.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, key)| byte ^ key));
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let message: Vec<u8> = (0..200).collect();
        let mut stream = Vec::new();
        frame(true, &message[..30], &mut stream);
        frame(false, &message, &mut stream);
        frame(true, &message, &mut stream);
        frame(true, &message[..19], &mut stream);
        for size in [stream.len(), 100] {
            let mut skipper = Skipper::default();
            let mut ends = 0;
            for piece in stream.chunks(size) {
                skipper.feed(piece, |_| ends += 1);
            }
            assert_eq!(ends, 3, "in pieces of {size}");
        }
        let mut skipper = Skipper::default();
        skipper.feed(&stream, |start| assert_eq!(start, &message[..19]));
    }

    #[test]
    fn keys_are_found_in_whole_requests_only() {
        let request = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: abc\r\nX: y\r\n\r\n";
        assert_eq!(upgrade_key(request), Some("abc"));
        assert_eq!(upgrade_key(&request[..40]), None);
    }
}
