//! Headers whose values are lists (RFC 9110, section 5.6.1), as hyper hands them over: several lines make one list, and an
//! empty element means nothing.

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Version};

/// The elements of all lines of a header.
fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let lines = headers.get_all(name).iter();
    let elements = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

/// gzip has two names (RFC 9110, section 8.4.1.3).
fn is_gzip(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
}

/// Whether a request's body is in gzip; `None` if it is in anything else, or in gzip twice.
pub(super) fn gzipped(headers: &HeaderMap) -> Option<bool> {
    let mut gzipped = false;
    for coding in elements(headers, &header::CONTENT_ENCODING) {
        if coding.eq_ignore_ascii_case(b"identity") {
            continue;
        }
        if gzipped || !is_gzip(coding) {
            return None;
        }
        gzipped = true;
    }
    Some(gzipped)
}

/// Whether a request's body is in a transfer coding beside chunks, which hyper leaves undone.
pub(super) fn has_other_transfer_coding(headers: &HeaderMap) -> bool {
    let mut codings = elements(headers, &header::TRANSFER_ENCODING).enumerate();
    codings.any(|(place, coding)| place > 0 || !coding.eq_ignore_ascii_case(b"chunked"))
}

/// Whether the request accepts an answer in gzip (RFC 9110, section 12.5.3). `*` speaks for what is not named.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let (mut named, mut any) = (None, None);
    for offer in elements(headers, &header::ACCEPT_ENCODING) {
        let mut parts = offer.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let accepted = !parts.any(is_weight_of_zero);
        if is_gzip(coding) {
            named = Some(named.unwrap_or(false) || accepted);
        } else if coding == b"*" {
            any = Some(accepted);
        }
    }
    named.or(any).unwrap_or(false)
}

/// `q=0`, with or without decimals.
fn is_weight_of_zero(parameter: &[u8]) -> bool {
    let [b'q' | b'Q', b'=', weight @ ..] = parameter else { return false };
    weight.starts_with(b"0") && weight.iter().all(|byte| matches!(byte, b'0' | b'.'))
}

/// Whether the request leaves its connection open for another one (RFC 9112, section 9.3).
pub(super) fn stays_open<B>(request: &Request<B>) -> bool {
    let says = |option: &[u8]| {
        let mut options = elements(request.headers(), &header::CONNECTION);
        options.any(|said| said.eq_ignore_ascii_case(option))
    };
    !says(b"close") && (request.version() > Version::HTTP_10 || says(b"keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(name: &HeaderName, lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn gzip_is_recognised_under_both_names_and_in_any_line() {
        let judge = |lines: &[&'static str]| gzipped(&headers(&header::CONTENT_ENCODING, lines));
        for plain in [&[][..], &[""], &[" , "], &["identity"], &["identity", ""]] {
            assert_eq!(judge(plain), Some(false), "{plain:?}");
        }
        for zipped in [&["gzip"][..], &["X-GZip"], &["identity", "gzip"], &["identity,, GZIP"]] {
            assert_eq!(judge(zipped), Some(true), "{zipped:?}");
        }
        for other in [&["deflate"][..], &["gzip, gzip"], &["gzip", "x-gzip"], &["gzip", "br"]] {
            assert_eq!(judge(other), None, "{other:?}");
        }
    }

    #[test]
    fn chunks_are_the_only_transfer_coding() {
        let other = |lines: &[&'static str]| {
            has_other_transfer_coding(&headers(&header::TRANSFER_ENCODING, lines))
        };
        assert!(!other(&[]) && !other(&["Chunked"]) && !other(&["", "chunked,"]));
        assert!(other(&["gzip, chunked"]) && other(&["gzip", "chunked"]));
        assert!(other(&["chunked", "chunked"]) && other(&["identity"]));
    }

    #[test]
    fn an_answer_is_zipped_for_clients_that_take_it() {
        let accepts =
            |lines: &[&'static str]| accepts_gzip(&headers(&header::ACCEPT_ENCODING, lines));
        for yes in [
            &["gzip"][..],
            &["GZIP"],
            &["deflate, x-gzip;q=0.5"],
            &["*"],
            &["br", "gzip"],
            &["gzip, *;q=0"],
            &["gzip;q=0.001"],
        ] {
            assert!(accepts(yes), "{yes:?}");
        }
        for no in [
            &[][..],
            &[""],
            &["identity"],
            &["gzip;q=0"],
            &["gzip; q=0"],
            &["gzip;Q=0.000, *"],
            &["*;q=0"],
        ] {
            assert!(!accepts(no), "{no:?}");
        }
    }

    #[test]
    fn a_connection_stays_open_as_its_version_has_it() {
        let stays = |version, connection: &[&'static str]| {
            let mut request = Request::new(());
            *request.version_mut() = version;
            *request.headers_mut() = headers(&header::CONNECTION, connection);
            stays_open(&request)
        };
        assert!(stays(Version::HTTP_11, &[]) && stays(Version::HTTP_10, &["Keep-Alive"]));
        assert!(!stays(Version::HTTP_10, &[]) && !stays(Version::HTTP_11, &["te", "Close"]));
    }
}
