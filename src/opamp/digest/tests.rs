//! Cases by hand: what is the same, what differs, and what hostile bytes cost.

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};

use super::canonical::{DEPTH_MAX, RECORDS_MAX};
use super::schema::{ALL, STATUS, ValueKind};
use super::*;
use crate::opamp::generate::Schema;
use crate::opamp::{proto, wire};

fn digest(number: u32, value: &[u8]) -> Digest {
    Digester::default().field(number, value, &mut Scratch::default())
}

/// The canonical bytes of a status field, its tag and length taken off.
pub(super) fn canonical(number: u32, value: &[u8]) -> Option<Vec<u8>> {
    canonical_field(number, value, &mut Scratch::default(), |field| {
        let Some(Ok(found)) = fields(field).next() else { panic!("{field:?}") };
        assert_eq!((found.number, found.whole), (number, 0..field.len()));
        field[found.value].to_vec()
    })
}

fn len(number: u32, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    wire::put_len_field(number, value, &mut out);
    out
}

#[test]
fn the_tables_are_the_schema() {
    let schema = Schema::read(env!("CARGO_MANIFEST_DIR"));
    let message = |name: &str| &schema.0[&format!(".opamp.proto.v1.{name}")];
    for (index, shape) in ALL.into_iter().enumerate() {
        assert_eq!(shape.index, index);
        let message = message(shape.name);
        assert_eq!(message.field.len(), shape.fields.len(), "{}", shape.name);
        assert!(shape.fields.len() < 16, "tags are written as one byte");
        let members = message.field.iter().filter(|field| field.oneof_index.is_some()).count();
        assert_eq!(members, if shape.is_oneof { shape.fields.len() } else { 0 });
        for ((name, kind), field) in shape.fields.iter().zip(&message.field) {
            let number = shape.number(name).unwrap();
            assert_eq!((field.name(), field.number()), (*name, i32::try_from(number).unwrap()));
            check_kind(&schema, *kind, field);
        }
    }
    let top = message("AgentToServer");
    for (number, name, shape) in STATUS {
        let field = top.field.iter().find(|field| field.name() == name).unwrap();
        assert_eq!(field.number(), i32::try_from(number).unwrap());
        assert!(field.type_name().ends_with(shape.name));
    }
    let numbers: Vec<u32> = STATUS.iter().map(|(number, ..)| *number).collect();
    assert_eq!(FieldSet::of(&numbers), agent_field::STATUS);
}

fn check_kind(schema: &Schema, kind: ValueKind, field: &prost_types::FieldDescriptorProto) {
    let repeated = matches!(kind, ValueKind::Texts | ValueKind::Messages(_) | ValueKind::Map(_));
    assert_eq!(field.label() == Label::Repeated, repeated, "{}", field.name());
    let fits = match field.r#type() {
        Type::Bool => matches!(kind, ValueKind::Bool),
        Type::Enum => matches!(kind, ValueKind::Enum),
        Type::Int64 | Type::Uint64 => matches!(kind, ValueKind::Integer),
        Type::Fixed64 | Type::Double => matches!(kind, ValueKind::Fixed64),
        Type::String | Type::Bytes => matches!(kind, ValueKind::Text | ValueKind::Texts),
        Type::Message => {
            let inner = &schema.0[field.type_name()];
            let is_map = inner.options.as_ref().is_some_and(|options| options.map_entry());
            let value = if is_map { inner.field[1].type_name() } else { field.type_name() };
            assert_eq!(is_map, matches!(kind, ValueKind::Map(_)));
            kind.shape().is_some_and(|shape| value == format!(".opamp.proto.v1.{}", shape.name))
        }
        _ => false,
    };
    assert!(fits, "{}: {kind:?}", field.name());
}

#[test]
fn a_map_has_no_order_and_a_list_has() {
    let entry = |key: &[u8], body: &[u8]| len(1, &[len(1, key), len(2, &len(1, body))].concat());
    let config = |entries: &[Vec<u8>]| len(1, &entries.concat());
    let (a, b) = (entry(b"a", b"1"), entry(b"b", b"2"));
    let sorted = config(&[a.clone(), b.clone()]);
    assert_eq!(canonical(6, &config(&[b.clone(), a.clone()])), Some(sorted.clone()));
    // The last entry of a key counts.
    let twice = config(&[entry(b"b", b"3"), a.clone(), b.clone()]);
    assert_eq!(canonical(6, &twice), Some(sorted));
    let list = |first: &[u8], second: &[u8]| [len(1, first), len(1, second)].concat();
    assert_ne!(digest(12, &list(b"a", b"b")), digest(12, &list(b"b", b"a")));
    // AnyValue's map is a list as well.
    let pairs = |first, second| {
        let pair = |key| proto::KeyValue { key: String::from(key), value: None };
        let list = proto::KeyValueList { values: vec![pair(first), pair(second)] };
        let value = proto::any_value::Value::KvlistValue(list);
        let value = Some(proto::AnyValue { value: Some(value) });
        let attribute = proto::KeyValue { key: "k".to_owned(), value };
        proto::AgentDescription { identifying_attributes: vec![attribute], ..Default::default() }
            .encode_to_vec()
    };
    assert_ne!(digest(3, &pairs("a", "b")), digest(3, &pairs("b", "a")));
}

#[test]
fn defaults_are_absent_but_empty_messages_are_not() {
    let status = |status| [0x10, status];
    assert_eq!(canonical(7, &status(0)), Some(vec![]));
    assert_ne!(digest(7, &status(1)), digest(7, &[]));
    assert_ne!(digest(6, &len(1, &[])), digest(6, &[]));
    // A member of a oneof says something with its default value: an attribute that is false.
    let attribute = |value: &[u8]| len(1, &len(2, value));
    let (no, zero, null) = ([0x10, 0], [0x18, 0], []);
    let digests = [&no[..], &zero, &null].map(|value| digest(3, &attribute(value)));
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2]);
    // Set last, it counts alone.
    assert_eq!(canonical(3, &attribute(&[0x10, 1, 0x18, 0])), Some(attribute(&[0x18, 0])));
}

#[test]
fn occurrences_of_a_message_are_merged() {
    let health = |bytes: &[u8]| digest(5, bytes);
    // A value of the map in two parts, the first with what the second overrides.
    let first = len(4, b"starting");
    let second = [len(4, b"running"), vec![8, 1]].concat();
    let parts = len(6, &[len(1, b"k"), len(2, &first), len(2, &second)].concat());
    let whole =
        len(6, &[len(1, b"k"), len(2, &[vec![8, 1], len(4, b"running")].concat())].concat());
    assert_eq!(health(&parts), health(&whole));
    assert_eq!(canonical(5, &parts), Some(whole));
}

#[test]
fn unknown_fields_count_and_stand_behind_the_others() {
    let unknown = len(9, b"new");
    let known = vec![8, 1];
    let mixed = [unknown.clone(), known.clone()].concat();
    assert_eq!(canonical(5, &mixed), Some([known.clone(), unknown].concat()));
    assert_ne!(digest(5, &mixed), digest(5, &known));
    // At every depth, entries of maps included.
    let inside = |extra: &[u8]| len(6, &[len(1, b"k"), len(2, &[&known, extra].concat())].concat());
    assert_ne!(digest(5, &inside(&len(9, b"x"))), digest(5, &inside(&[])));
    let beside = |extra: &[u8]| len(6, &[&len(1, b"k"), extra].concat());
    assert_ne!(digest(5, &beside(&len(3, b"x"))), digest(5, &beside(&[])));
}

#[test]
fn components_count_by_their_hash() {
    let map = len(1, &[len(1, b"otlp"), len(2, &len(2, &[]))].concat());
    let hash = len(2, b"hash");
    let both = [map.clone(), hash.clone()].concat();
    assert_eq!(digest(14, &both), digest(14, &hash));
    assert_ne!(digest(14, &both), digest(14, &[map.clone(), len(2, b"hasi")].concat()));
    assert_ne!(digest(14, &map), digest(14, &[]));
    assert_eq!(canonical(14, &both), Some(both.clone()), "stored as a whole");
    assert_eq!(components_hash(&both), Some(&b"hash"[..]));
    assert_eq!(components_hash(&[hash.clone(), len(2, b"")].concat()), None);
    assert_eq!(components_hash(&map), None);
    assert_eq!(components_hash(&[&hash[..], &[0x80]].concat()), None);
    assert!(has_components(&both) && !has_components(&hash));
}

#[test]
fn fields_and_kinds_have_digests_of_their_own() {
    let digests = [
        digest(7, &len(1, b"hash")),
        digest(15, &len(1, b"hash")),
        digest(40, &len(1, b"hash")),
        Digester::default().number(4, 5),
        Digester::default().number(4, 6),
        Digester::default().number(5, 5),
        Digester { key: DigestKey::derive(b"another"), ..Digester::default() }.number(4, 5),
    ];
    let distinct: std::collections::HashSet<_> = digests.iter().collect();
    assert_eq!(distinct.len(), digests.len());
}

#[test]
fn what_cannot_be_read_counts_as_it_stands() {
    // A map's entry that ends too early, a field of the wrong type, the end of a group that is not open.
    for bytes in [&[0x32, 5, 1][..], &[0x0a, 0], &[0x4c]] {
        assert_eq!(canonical(5, bytes), None);
        assert_eq!(digest(5, bytes), digest(5, bytes));
        assert_ne!(digest(5, bytes), digest(5, &[bytes, &[0]].concat()));
    }
}

#[test]
fn an_unknown_group_counts_as_it_stands_beside_fields_in_any_order() {
    let group = [0x4b, 0x08, 5, 0x4c];
    let healthy = [&[8, 1][..], &group].concat();
    assert_eq!(canonical(5, &healthy).map(|bytes| bytes.ends_with(&group)), Some(true));
    assert_eq!(digest(5, &healthy), digest(5, &[&group[..], &[8, 1]].concat()));
    assert_ne!(digest(5, &healthy), digest(5, &[&[8, 1][..], &[0x4b, 0x08, 6, 0x4c]].concat()));
}

fn nested_health(depth: usize) -> Vec<u8> {
    let mut bytes = vec![8, 1];
    for _ in 0..depth {
        bytes = len(6, &len(2, &bytes));
    }
    bytes
}

#[test]
fn nesting_has_a_bound() {
    // The outermost message and two levels for each map.
    let deepest = (DEPTH_MAX - 1) / 2;
    assert!(canonical(5, &nested_health(deepest)).is_some());
    assert_eq!(canonical(5, &nested_health(deepest + 1)), None);
    digest(5, &nested_health(100_000));
}

#[test]
fn the_number_of_fields_has_a_bound() {
    let names = |count: usize| [0x0a, 1, b'x'].repeat(count);
    assert!(canonical(12, &names(RECORDS_MAX)).is_some());
    assert!(canonical(12, &names(RECORDS_MAX + 1)).is_none());
    assert_ne!(digest(12, &names(RECORDS_MAX + 1)), digest(12, &names(RECORDS_MAX + 2)));
    let report = |bytes: &[u8]| {
        let mut found = Vec::new();
        let scan = AgentScan::parse(bytes).unwrap();
        Digester::default().report(&scan, &mut Scratch::default(), |n, d| found.push((n, d)));
        found
    };
    let many = len(7, &[]).repeat(RECORDS_MAX + 1);
    let found = report(&many);
    assert_eq!(found.len(), 1);
    assert_ne!(found, report(&[&many[..], &[0x10, 1]].concat()), "its number counts");
}

#[test]
fn a_scratch_can_be_used_for_anything_next() {
    let mut scratch = Scratch::default();
    let large = len(1, &len(1, &len(2, &len(1, &vec![b'x'; 1 << 20]))));
    let small = nested_health(3);
    let digester = Digester::default();
    for _ in 0..2 {
        assert_eq!(digester.field(6, &large, &mut scratch), digest(6, &large));
        assert_eq!(digester.field(5, &small, &mut scratch), digest(5, &small));
        assert_eq!(digester.field(5, &[0x32, 5, 1], &mut scratch), digest(5, &[0x32, 5, 1]));
    }
}

#[test]
fn the_bytes_of_a_report_are_recognised_again() {
    let key = DigestKey::default();
    let message = |sequence_num, capabilities| {
        let message = proto::AgentToServer {
            instance_uid: vec![7; 16],
            sequence_num,
            capabilities,
            health: Some(proto::ComponentHealth { healthy: true, ..Default::default() }),
            ..Default::default()
        };
        message.encode_to_vec()
    };
    let hash = |bytes: &[u8]| report_hash(&key, &AgentScan::parse(bytes).unwrap());
    assert_eq!(hash(&message(1, 3)), hash(&message(2, 3)));
    assert_ne!(hash(&message(1, 3)), hash(&message(1, 4)));
    // Also with the number in the middle.
    let (health, number) = (len(5, &[8, 1]), vec![0x10, 9]);
    let parts = |number: &[u8]| [&[0x20, 3], number, &health].concat();
    assert_eq!(hash(&parts(&number)), hash(&parts(&[0x10, 10])));
    assert_ne!(hash(&parts(&number)), hash(&[&[0x20, 4], &number[..], &health].concat()));
    assert_eq!(hash(&number), hash(&[]));
}

#[test]
fn unknown_fields_of_a_report_are_one_digest() {
    let report = |bytes: &[u8]| {
        let mut found = Vec::new();
        let scan = AgentScan::parse(bytes).unwrap();
        Digester::default().report(&scan, &mut Scratch::default(), |n, d| found.push((n, d)));
        found
    };
    let plain = report(&[]);
    assert_eq!(plain, [(4, Digester::default().number(4, 0))]);
    let with = report(&[len(20, b"a"), len(21, b"b"), vec![0x50, 1]].concat());
    assert_eq!(with[1..], plain);
    assert_eq!(with[0].0, FieldSet::OTHER);
    assert_eq!(report(&[len(21, b"b"), len(20, b"a")].concat()), with);
    assert_ne!(report(&[len(20, b"a"), len(21, b"c")].concat()), with);
}
