//! Our request is one that our server's end accepts; answers are judged.

use super::*;
use crate::websocket::{RequestHead, accept_response};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn judge(answer: &str, now: SystemTime) -> Result<(), Refused> {
    check_response(&ResponseHead::parse(answer.as_bytes()).unwrap().unwrap(), KEY, now)
}

#[test]
fn both_ends_agree() {
    let mut headers = HeaderMap::new();
    headers.insert("authorization", http::HeaderValue::from_static("Bearer x"));
    let key = crate::websocket::generate_key();
    let mut bytes = Vec::new();
    let request =
        ClientRequest { authority: "h:4320", target: "/v1/opamp", headers: &headers, key: &key };
    client_request(&request, &mut bytes);
    let head = RequestHead::parse(&bytes).unwrap().unwrap();
    assert_eq!(head.head_bytes, bytes.len());
    assert_eq!(head.target, "/v1/opamp");
    assert_eq!(head.headers.get("host"), Some(&b"h:4320"[..]));
    assert_eq!(head.headers.get("authorization"), Some(&b"Bearer x"[..]));
    let mut answer = Vec::new();
    accept_response(&head.upgrade().unwrap(), &mut answer);
    answer.extend_from_slice(b"frames");
    let head = ResponseHead::parse(&answer).unwrap().unwrap();
    assert_eq!(&answer[head.head_bytes..], b"frames");
    assert_eq!(check_response(&head, &key, SystemTime::UNIX_EPOCH), Ok(()));
}

#[test]
fn an_answer_for_another_key_or_with_extensions_is_refused() {
    let good = "HTTP/1.1 101 ok\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let now = SystemTime::UNIX_EPOCH;
    assert_eq!(judge(good, now), Ok(()));
    for (from, to) in [
        ("s3pP", "s3pQ"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("Upgrade: websocket\r\n", ""),
        ("Connection: upgrade\r\n", ""),
        ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n"),
    ] {
        let refused = judge(&good.replacen(from, to, 1), now).unwrap_err();
        assert_eq!((refused.status, refused.retry_after), (101, None), "{to}");
    }
}

#[test]
fn empty_lists_ask_for_nothing_and_many_headers_are_read() {
    let good = "HTTP/1.1 101 ok\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    for more in
        ["Sec-WebSocket-Extensions: ", "Sec-WebSocket-Protocol: ", "Sec-WebSocket-Protocol: ,"]
    {
        let answer = good.replacen("\r\n\r\n", &format!("\r\n{more}\r\n\r\n"), 1);
        assert_eq!(judge(&answer, SystemTime::UNIX_EPOCH), Ok(()), "{more}");
    }
    let hundred: String = (0..100).map(|n| format!("X-{n}: v\r\n")).collect();
    let answer = good.replacen("\r\n\r\n", &format!("\r\n{hundred}\r\n"), 1);
    assert_eq!(judge(&answer, SystemTime::UNIX_EPOCH), Ok(()));
}

#[test]
fn an_interim_answer_is_told_from_the_last_one() {
    for (status, interim) in [(100, true), (101, false), (103, true), (199, true), (200, false)] {
        let answer = format!("HTTP/1.1 {status} x\r\n\r\n");
        let head = ResponseHead::parse(answer.as_bytes()).unwrap().unwrap();
        assert_eq!(head.is_interim(), interim, "{status}");
    }
}

#[test]
fn a_refusal_says_until_when() {
    let now = httpdate::parse_http_date("Fri, 15 May 2026 15:34:21 GMT").unwrap();
    for (value, seconds) in [
        ("30", Some(30)),
        ("Fri, 15 May 2026 15:35:21 GMT", Some(60)),
        ("Fri, 15 May 2015 15:35:21 GMT", Some(0)),
        ("soon", None),
    ] {
        let answer = format!("HTTP/1.1 503 busy\r\nRetry-After: {value}\r\n\r\n");
        let refused = judge(&answer, now).unwrap_err();
        assert_eq!(refused.status, 503);
        assert_eq!(refused.retry_after, seconds.map(Duration::from_secs));
    }
    assert!(ResponseHead::parse(b"HTTP/1.1 101 Swi").unwrap().is_none());
}
