//! A reply over HTTP, compressed if the agent accepts it and it is worth it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderValue};

use super::refusal::{HttpResponse, PROTOBUF};

/// A shorter reply is sent as it is, in bytes.
const GZIP_BYTES_MIN: usize = 512;

/// Whether the request accepts an answer in gzip (RFC 9110, section 12.5.3).
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut offers = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    offers.any(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let gzip = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        gzip && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// The response with this reply. `zipped`: the agent accepts gzip.
pub(super) fn answer(reply: Vec<u8>, zipped: bool) -> HttpResponse {
    let wanted = zipped && reply.len() >= GZIP_BYTES_MIN;
    let (body, zipped) = match wanted.then(|| gzip(&reply)).flatten() {
        Some(smaller) => (smaller, true),
        None => (reply, false),
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(header::CONTENT_TYPE, PROTOBUF);
    if zipped {
        answer.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}
