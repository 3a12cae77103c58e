//! Requests as clients send them, and each thing that can be wrong.

use super::*;

const REQUEST: &str = "GET /v1/opamp?x=1 HTTP/1.1\r\nHost: h\r\nconnection: keep-alive, UPGRADE\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nrest";

fn upgrade(text: &str) -> Result<Key, UpgradeFault> {
    RequestHead::parse(text.as_bytes()).unwrap().unwrap().upgrade()
}

#[test]
fn the_example_of_the_rfc_is_answered_as_there() {
    let head = RequestHead::parse(REQUEST.as_bytes()).unwrap().unwrap();
    assert_eq!((head.method, head.path(), head.minor_version), ("GET", "/v1/opamp", 1));
    assert_eq!(&REQUEST[head.head_bytes..], "rest");
    assert_eq!(head.headers.get("HOST"), Some(&b"h"[..]));
    let mut out = Vec::new();
    accept_response(&head.upgrade().unwrap(), &mut out);
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("HTTP/1.1 101 "));
    assert!(text.ends_with("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
}

#[test]
fn a_path_ends_where_readers_end_it() {
    let path = |target: &str| {
        let head = format!("POST {target} HTTP/1.1\r\n\r\n");
        RequestHead::parse(head.as_bytes()).unwrap().unwrap().path().to_owned()
    };
    for target in ["/a", "/a?b", "/a#b", "/a?b#c", "/a#b?c", "http://h/a", "http://h/a#b"] {
        assert_eq!(path(target), "/a", "{target}");
    }
    assert_eq!((path("http://h#/a"), path("http://h?a")), ("/".to_owned(), "/".to_owned()));
    assert_eq!(path("/b?x=http://h/a"), "/b");
    assert_eq!(path("/b#http://h/a"), "/b");
}

#[test]
fn each_fault_is_named() {
    let without = |from: &str, to: &str| upgrade(&REQUEST.replace(from, to));
    assert_eq!(without("WebSocket\r", "h2c\r"), Err(UpgradeFault::NotAsked));
    assert_eq!(without("Upgrade: ", "X: "), Err(UpgradeFault::NotAsked));
    assert_eq!(without("GET", "POST"), Err(UpgradeFault::Method));
    assert_eq!(without("HTTP/1.1", "HTTP/1.0"), Err(UpgradeFault::HttpVersion));
    assert_eq!(without("UPGRADE", "close"), Err(UpgradeFault::Connection));
    assert_eq!(without("13", "8"), Err(UpgradeFault::Version));
    for key in [
        "",
        "abcd",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhb\u{e9}BsZSBub25jZQ==",
    ] {
        assert_eq!(without("dGhlIHNhbXBsZSBub25jZQ==", key), Err(UpgradeFault::Key), "{key}");
    }
    let twice =
        REQUEST.replace("\r\n\r\n", "\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
    assert_eq!(upgrade(&twice), Err(UpgradeFault::Key));
    let header = |line: &str| upgrade(&REQUEST.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n")));
    assert_eq!(header("Content-Length: 5"), Err(UpgradeFault::Body));
    assert_eq!(header("Transfer-Encoding: chunked"), Err(UpgradeFault::Body));
    assert!(header("Content-Length: 0").is_ok());
    assert_eq!(UpgradeFault::Version.status(), 426);
}

#[test]
fn a_head_says_which_host_it_is_for_and_whether_it_waits() {
    let head = |text: &'static str| RequestHead::parse(text.as_bytes()).unwrap().unwrap();
    let plain = head(REQUEST);
    assert_eq!((plain.host(), plain.expects_continue()), (Ok(()), false));
    let waits = head("GET / HTTP/1.1\r\nHOST: a\r\nhost: b\r\nExpect: 100-Continue\r\n\r\n");
    assert_eq!((waits.host(), waits.expects_continue()), (Err(HostFault::Repeated), true));
    let old = head("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.host(), Ok(()));
}

#[test]
fn a_head_is_complete_malformed_or_to_be_continued() {
    for end in 0..REQUEST.len() - 4 {
        assert!(RequestHead::parse(&REQUEST.as_bytes()[..end]).unwrap().is_none(), "{end}");
    }
    assert_eq!(RequestHead::parse(b"\x16\x03\x01").unwrap_err().status(), 400);
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS));
    assert_eq!(RequestHead::parse(many.as_bytes()).unwrap_err().status(), 431);
}

const HEADERS: usize = crate::websocket::HEADERS_MAX + 1;
