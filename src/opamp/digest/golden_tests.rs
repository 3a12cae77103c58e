//! Digests as they have always been. Nodes of different versions compare them, and storage keeps them:
//! values may be added here, and the old ones must stay.

use super::*;
use crate::opamp::wire::{put_len_field, put_varint_field};

fn len(number: u32, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    put_len_field(number, &parts.concat(), &mut out);
    out
}

fn text(number: u32, value: &str) -> Vec<u8> {
    len(number, &[value.as_bytes()])
}

fn varint(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint_field(number, value, &mut out);
    out
}

fn fixed64(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3 | 1][..], &value.to_le_bytes()].concat()
}

fn entry(number: u32, key: &str, value: &[&[u8]]) -> Vec<u8> {
    len(number, &[&text(1, key), &len(2, value)])
}

/// Attributes of each kind, one with a default value, and a map whose order counts.
fn description() -> Vec<u8> {
    let attribute = |key: &str, value: Vec<u8>| len(1, &[&text(1, key), &len(2, &[&value])]);
    let pair = |key: &str| len(1, &[&text(1, key), &len(2, &[&text(7, "\x01")])]);
    [
        attribute("service.name", text(1, "seawall")),
        attribute("port", varint(3, 4320)),
        attribute("busy", varint(2, 0)),
        attribute("share", fixed64(4, 0.5_f64.to_bits())),
        attribute("tags", len(6, &[&pair("b"), &pair("a")])),
        attribute("list", len(5, &[&len(1, &[&varint(3, u64::MAX)])])),
    ]
    .concat()
}

/// Names in falling order at both depths; an observation's time in each; a field of the future.
fn health() -> Vec<u8> {
    let inner = [entry(6, "z", &[&varint(1, 1)]), entry(6, "y", &[&fixed64(5, 7)])].concat();
    [
        varint(1, 1),
        fixed64(2, 1_700_000_000),
        text(4, "StatusOK"),
        fixed64(5, 1_700_000_001),
        entry(6, "b", &[&varint(1, 1), &fixed64(5, 8), &inner]),
        entry(6, "a", &[&text(3, "down")]),
        text(9, "new"),
    ]
    .concat()
}

fn config() -> Vec<u8> {
    let file = |name, body| entry(1, name, &[&text(1, body), &text(2, "text/yaml")]);
    len(1, &[&file("b", "receivers:"), &file("", "exporters:"), &file("b", "processors:")])
}

fn packages() -> Vec<u8> {
    let details = len(8, &[&fixed64(1, 50.0_f64.to_bits())]);
    let one = entry(1, "z", &[&text(1, "z"), &varint(6, 4), &details]);
    [one, entry(1, "a", &[&text(1, "a"), &text(2, "1.0")]), text(2, "all")].concat()
}

fn messages() -> [(u32, Vec<u8>, &'static str); 12] {
    let status = [text(1, "hash"), varint(2, 3), text(3, "bad")].concat();
    let components = entry(1, "otlp", &[&len(1, &[&text(1, "code")])]);
    let (hash, names) = (text(2, "hash"), [text(1, "com.b"), text(1, "com.a")].concat());
    [
        (3, description(), "be80d890dd66d6ffca54a03c4e935be0"),
        (3, vec![], "d1f5ae189a2d535f9c731b4ffaab14d8"),
        (5, health(), "74802369f252241df665b0d841bf4416"),
        (6, config(), "f9ff7eeeb61099820cdff018de4dc105"),
        (7, status.clone(), "83a22d6f6296d547cdf949929a18336c"),
        (8, packages(), "7bc8aff71b94b0fe881292f2858c2cd5"),
        (12, names, "d7cd23c84557be68dada0deadc7ef627"),
        (14, components.clone(), "8fc295a22cdbed5604dd18b9160c4779"),
        (14, [components, hash].concat(), "b263fe7e4ad2f38e1c84cea65aa109f7"),
        (15, status, "0dfd52b98eb6d20b4d0960e66bba9421"),
        // Malformed.
        (5, vec![8, 1, 0x32, 5], "5108803e412e94a6aacb6ab9fa8fa84f"),
        // More than XXH3 takes in its ways for short inputs (240 bytes) and in one block (1 KiB).
        (12, text(1, "name").repeat(1000), "a694542d9869e0950751995e66d78190"),
    ]
}

#[test]
fn digests_are_what_they_have_always_been() {
    let digester =
        Digester { key: DigestKey::derive(b"a golden secret"), volatile: Volatile::default() };
    let mut scratch = Scratch::default();
    let mut digest =
        |number, value: &[u8]| format!("{:?}", digester.field(number, value, &mut scratch));
    let found = messages().map(|(number, value, _)| digest(number, &value));
    assert_eq!(found, messages().map(|(.., digest)| digest));
    assert_eq!(digest(14, &text(2, "hash")), found[8], "the hash stands for the components");
    assert_eq!(digest(20, b"from the future"), "f334a8bcf5063bdc17293d79393438f9");
    assert_eq!(format!("{:?}", digester.number(4, 0x1805)), "09ab405f83695bc8397de4335ee3c570");
    let long = Digester { key: DigestKey::derive(&[1; 300]), ..digester };
    assert_eq!(format!("{:?}", long.number(4, 0x1805)), "e1f3bf3b06e5569acec79536bd8ca31c");
}

/// Canonical bytes in full: another implementation compares with these.
#[test]
fn canonical_bytes_are_what_they_have_always_been() {
    let mut scratch = Scratch::default();
    let mut canonical = |number, value: &[u8]| {
        canonical_field(number, value, &mut scratch, <[u8]>::to_vec).expect("well-formed")
    };
    let inner = [entry(6, "y", &[&fixed64(5, 7)]), entry(6, "z", &[&varint(1, 1)])].concat();
    let expected = [
        varint(1, 1),
        fixed64(2, 1_700_000_000),
        text(4, "StatusOK"),
        fixed64(5, 1_700_000_001),
        entry(6, "a", &[&text(3, "down")]),
        entry(6, "b", &[&varint(1, 1), &fixed64(5, 8), &inner]),
        text(9, "new"),
    ];
    assert_eq!(canonical(5, &health()), len(5, &[&expected.concat()]));
    let value = |body| len(2, &[&text(1, body), &text(2, "text/yaml")]);
    // An empty key is absent; the last "b" counts.
    let nameless = len(1, &[&value("exporters:")]);
    let named = len(1, &[&text(1, "b"), &value("processors:")]);
    assert_eq!(canonical(6, &config()), len(6, &[&len(1, &[&nameless, &named])]));
}
