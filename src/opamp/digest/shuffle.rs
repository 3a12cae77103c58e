//! Other encodings of the same message, for tests: maps in another order at every depth, fields in
//! another order, defaults written out, lengths longer than need be, sub-messages in several parts.
//!
//! Driven by the schema's descriptors, so that it tests the digest's own tables.

use std::collections::BTreeMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};

use crate::opamp::fields::{Field, WireType, fields};
use crate::opamp::generate::{Choices, Schema};
use crate::opamp::wire;

/// A field that has been encoded: its number, and for an entry of a map its key.
struct Part {
    number: u32,
    key: Option<Vec<u8>>,
    bytes: Vec<u8>,
}

/// Another encoding of `bytes`, a message of the type `name`. Panics unless the bytes are well-formed.
pub(super) fn shuffle(
    schema: &Schema,
    name: &str,
    bytes: &[u8],
    choices: &mut Choices<'_>,
) -> Vec<u8> {
    let message = &schema.0[&format!(".opamp.proto.v1.{name}")];
    Shuffle { schema }.message(message, bytes, true, choices)
}

/// A field of a message that stands in `bytes`.
struct FieldValue<'a> {
    field: &'a Field,
    bytes: &'a [u8],
    is_first: bool,
}

struct Shuffle<'a> {
    schema: &'a Schema,
}

impl Shuffle<'_> {
    /// `is_first`: this is the first occurrence. Otherwise it is merged into another, which its defaults would
    /// override.
    fn message(
        &self,
        message: &DescriptorProto,
        bytes: &[u8],
        is_first: bool,
        choices: &mut Choices<'_>,
    ) -> Vec<u8> {
        let mut parts = Vec::new();
        for field in fields(bytes).map(Result::unwrap) {
            let number = i32::try_from(field.number).unwrap();
            match message.field.iter().find(|known| known.number() == number) {
                Some(known) => {
                    let value = FieldValue { field: &field, bytes, is_first };
                    self.field(known, &value, choices, &mut parts);
                }
                None => parts.push(Part {
                    number: field.number,
                    key: None,
                    bytes: bytes[field.whole].to_vec(),
                }),
            }
        }
        // The order of a oneof's members decides which of them counts.
        if !message.oneof_decl.is_empty() {
            return parts.into_iter().flat_map(|part| part.bytes).collect();
        }
        let mut out = Vec::new();
        for known in &message.field {
            if is_first && choices.below(4) == 1 {
                put_default(known, &mut out);
            }
        }
        out.extend(interleave(parts, choices));
        out
    }

    fn field(
        &self,
        known: &FieldDescriptorProto,
        value: &FieldValue<'_>,
        choices: &mut Choices<'_>,
        parts: &mut Vec<Part>,
    ) {
        let FieldValue { field, bytes, is_first } = *value;
        let is_first = known.label() == Label::Repeated
            || is_first && parts.iter().all(|part| part.number != field.number);
        let value = &bytes[field.value.clone()];
        let mut push = |key, value: &[u8], choices: &mut Choices<'_>| {
            let mut bytes = Vec::new();
            put_len(field.number, value, choices.below(3), &mut bytes);
            parts.push(Part { number: field.number, key, bytes });
        };
        if field.wire != WireType::Len {
            let bytes = bytes[field.whole.clone()].to_vec();
            return parts.push(Part { number: field.number, key: None, bytes });
        }
        if known.r#type() != Type::Message {
            return push(None, value, choices);
        }
        let inner = &self.schema.0[known.type_name()];
        let is_entry = inner.options.as_ref().is_some_and(|options| options.map_entry());
        let key = is_entry.then(|| key_of(value));
        let value = self.message(inner, value, is_first, choices);
        if known.label() == Label::Repeated || choices.below(2) == 0 {
            return push(key, &value, choices);
        }
        let mut ends: Vec<usize> = fields(&value).map(|field| field.unwrap().whole.end).collect();
        ends.insert(0, 0);
        let cut = ends[choices.below(ends.len().min(256))];
        push(None, &value[..cut], choices);
        push(None, &value[cut..], choices);
    }
}

fn key_of(entry: &[u8]) -> Vec<u8> {
    let keys = fields(entry).map(Result::unwrap).filter(|field| field.number == 1);
    keys.last().map(|field| entry[field.value].to_vec()).unwrap_or_default()
}

/// The parts in another order: what has the same number keeps its order, save entries of a map, of
/// which only those with the same key do.
fn interleave(parts: Vec<Part>, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut runs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for part in parts {
        runs.entry((part.number, part.key)).or_default().push(part.bytes);
    }
    let mut runs: Vec<_> = runs.into_values().map(Vec::into_iter).collect();
    let mut out = Vec::new();
    while !runs.is_empty() {
        let run = choices.below(runs.len().min(256));
        match runs[run].next() {
            Some(bytes) => out.extend(bytes),
            None => drop(runs.swap_remove(run)),
        }
    }
    out
}

/// A length of up to `padding` bytes more than it takes, which every decoder accepts.
fn put_len(number: u32, value: &[u8], padding: usize, out: &mut Vec<u8>) {
    wire::put_varint(u64::from(number << 3 | 2), out);
    wire::put_varint(value.len() as u64, out);
    for _ in 0..padding {
        *out.last_mut().unwrap() |= 0x80;
        out.push(0);
    }
    out.extend_from_slice(value);
}

/// A scalar's default: in front of the other occurrences it has no effect.
fn put_default(known: &FieldDescriptorProto, out: &mut Vec<u8>) {
    let number = u32::try_from(known.number()).unwrap();
    if known.label() == Label::Repeated {
        return;
    }
    match known.r#type() {
        Type::Message => {}
        Type::String | Type::Bytes => put_len(number, &[], 0, out),
        Type::Fixed64 | Type::Double => {
            wire::put_varint(u64::from(number << 3 | 1), out);
            out.extend([0; 8]);
        }
        _ => wire::put_varint_field(number, 0, out),
    }
}
