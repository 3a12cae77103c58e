//! Which agent a request's body names, found while the body is still arriving: admission asks before the body is read.
//! Only its beginning is looked at, which is enough: encoders write fields in order, and `instance_uid` is the first.
//! What is found here is a hint; `request_admission` goes by the whole message.

use std::io::{ErrorKind, Read};

use flate2::read::GzDecoder;

use crate::ident::InstanceUid;
use crate::opamp::agent::{LeadingUid, leading_uid};

/// At most so much of a body is read before admission is asked without a name.
pub(super) const BODY_START_MAX: usize = 64 << 10;
/// Of what a compressed body grows to so much is looked at: it is undone anew with each piece that comes.
const GROWN_START_MAX: u64 = 4 << 10;

/// How a body is laid out behind its head (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BodyFraming {
    chunked: bool,
    gzip: bool,
    length: Option<usize>,
    /// It comes when it is asked for, or is encoded in a way that is refused.
    is_withheld: bool,
}

/// What the beginning of a body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedByBody {
    /// The agent.
    Agent(InstanceUid),
    /// It names none, as far as it is looked at.
    NoAgent,
    /// Its name is yet to come.
    More,
}

impl BodyFraming {
    /// As the head says.
    pub(super) fn of<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut framing = Self::default();
        for (name, value) in headers {
            let is = |word: &[u8]| value.trim_ascii().eq_ignore_ascii_case(word);
            if name.eq_ignore_ascii_case("content-length") {
                let length =
                    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok());
                framing.length = length;
                framing.is_withheld |= length.is_none();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                framing.chunked = is(b"chunked");
                framing.is_withheld |= !framing.chunked;
            } else if name.eq_ignore_ascii_case("content-encoding") {
                let gzip = is(b"gzip") || is(b"x-gzip");
                framing.gzip |= gzip;
                framing.is_withheld |= !gzip && !is(b"identity") && !value.trim_ascii().is_empty();
            } else if name.eq_ignore_ascii_case("expect") {
                framing.is_withheld = true;
            }
        }
        framing
    }

    /// Which agent this beginning of the body names.
    pub(super) fn named_by(self, bytes: &[u8]) -> NamedByBody {
        if self.is_withheld {
            return NamedByBody::NoAgent;
        }
        let unchunked;
        let (mut body, mut complete) = (bytes, self.length.is_none_or(|all| bytes.len() >= all));
        if self.chunked {
            let Some((pieces, last)) = unchunk(bytes) else { return NamedByBody::NoAgent };
            unchunked = pieces;
            (body, complete) = (&unchunked, last);
        }
        complete |= bytes.len() >= BODY_START_MAX;
        let unzipped;
        if self.gzip {
            let Some((start, last)) = gunzip_start(body) else { return NamedByBody::NoAgent };
            unzipped = start;
            body = &unzipped;
            complete |= last;
        }
        match leading_uid(body) {
            LeadingUid::Uid(uid) => {
                InstanceUid::from_wire(uid).map_or(NamedByBody::NoAgent, NamedByBody::Agent)
            }
            LeadingUid::Unfinished if !complete => NamedByBody::More,
            LeadingUid::Unfinished | LeadingUid::Malformed => NamedByBody::NoAgent,
        }
    }
}

/// The contents of the chunks that have come, and whether the last one has. Empty: these are no chunks.
fn unchunk(mut bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut pieces = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
            return Some((pieces, false));
        };
        let line = std::str::from_utf8(&bytes[..end]).ok()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some((pieces, true));
        }
        let rest = &bytes[end + 2..];
        pieces.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(next) = size.checked_add(2).and_then(|behind| rest.get(behind..)) else {
            return Some((pieces, false));
        };
        bytes = next;
    }
}

/// What this beginning of a gzipped body grows to, up to a bound, and whether that is all that is looked at. Empty: it
/// is no gzip.
fn gunzip_start(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut start = Vec::new();
    let mut reader = GzDecoder::new(bytes).take(GROWN_START_MAX);
    match reader.read_to_end(&mut start) {
        Ok(_) => Some((start, true)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Some((start, false)),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const UID: [u8; 16] = [7; 16];

    fn message() -> Vec<u8> {
        [&[0x0a, 16][..], &UID, &[0x10, 3], &[0x1a, 200, 1], &[0x42; 200]].concat()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn named(headers: &[(&str, &str)], body: &[u8]) -> NamedByBody {
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        BodyFraming::of(headers).named_by(body)
    }

    #[test]
    fn an_agent_is_named_as_soon_as_its_uid_is_there() {
        let message = message();
        let length = message.len().to_string();
        let headers = [("Content-Length", length.as_str())];
        let agent = NamedByBody::Agent(InstanceUid::from_bytes(UID));
        for come in 0..message.len() {
            let expected = if come < 18 { NamedByBody::More } else { agent };
            assert_eq!(named(&headers, &message[..come]), expected, "{come}");
        }
        // The uid behind another field, and none at all.
        let behind = [&message[18..], &message[..18]].concat();
        assert_eq!(named(&headers, &behind[..209]), NamedByBody::More);
        assert_eq!(named(&headers, &behind), agent);
        assert_eq!(named(&[("Content-Length", "2")], &message[18..20]), NamedByBody::NoAgent);
        assert_eq!(named(&headers, &[0; 40]), NamedByBody::NoAgent, "no protobuf");
        let unnamed = [&message[..1], &[1, 9], &message[18..]].concat();
        assert_eq!(named(&headers, &unnamed), NamedByBody::NoAgent, "no uid");
    }

    #[test]
    fn a_body_in_chunks_or_compressed_is_read_as_well() {
        let agent = NamedByBody::Agent(InstanceUid::from_bytes(UID));
        let (message, zipped) = (message(), gzip(&message()));
        let chunks = |body: &[u8]| {
            let (one, two) = body.split_at(5);
            let head = |part: &[u8]| format!("{:x};x=y\r\n", part.len()).into_bytes();
            [&head(one), one, b"\r\n", &head(two), two, b"\r\n0\r\n\r\n"].concat()
        };
        let chunked = ("Transfer-Encoding", "chunked");
        let gzip = ("Content-Encoding", "gzip");
        let length = zipped.len().to_string();
        for (headers, body) in [
            (vec![chunked], chunks(&message)),
            (vec![gzip, chunked], chunks(&zipped)),
            (vec![gzip, ("Content-Length", &length)], zipped.clone()),
        ] {
            assert_eq!(named(&headers, &body), agent, "{headers:?}");
            assert_eq!(named(&headers, &body[..6]), NamedByBody::More, "{headers:?}");
        }
        assert_eq!(named(&[gzip, ("Content-Length", "300")], &message), NamedByBody::NoAgent);
        assert_eq!(named(&[chunked], b"x\r\nbody"), NamedByBody::NoAgent);
        assert_eq!(named(&[chunked], b"ffffffffffffffff\r\nbody"), NamedByBody::More);
    }

    #[test]
    fn what_is_withheld_or_too_far_behind_is_not_waited_for() {
        let expects = [("Content-Length", "300"), ("Expect", "100-continue")];
        assert_eq!(named(&expects, &[]), NamedByBody::NoAgent);
        let brotli = [("Content-Length", "300"), ("Content-Encoding", "br")];
        assert_eq!(named(&brotli, &[]), NamedByBody::NoAgent);
        let far = [&[0x1a, 0x80, 0x80, 0x40][..], &[0; BODY_START_MAX]].concat();
        let length = [("Content-Length", "2000000")];
        assert_eq!(named(&length, &far[..1_000]), NamedByBody::More);
        assert_eq!(named(&length, &far), NamedByBody::NoAgent);
        assert_eq!(named(&[], &[]), NamedByBody::NoAgent, "no body");
    }
}
