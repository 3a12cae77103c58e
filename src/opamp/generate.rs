//! Messages made up from the schema itself: any field, nested, repeated, out of order, with unknown
//! fields among them. For property tests and fuzzing alone.
//!
//! Driven by a string of bytes, so that a failing case shrinks with the string. A field
//! that is added to the schema is generated at once. Must not know what fields mean.

use std::collections::HashMap;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};

/// How deep messages nest; beyond it, message fields stay empty.
const DEPTH_MAX: u32 = 6;
/// About the longest a message becomes: beyond it, the generator stops adding fields.
const MESSAGE_BYTES_MAX: usize = 4096;

/// The messages of the schema, by name.
pub(super) struct Schema(pub(super) HashMap<String, DescriptorProto>);

/// Choices, read from a string of bytes; zero when it is used up.
pub(super) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Choices to be read from these bytes.
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next choice, below `bound` (at most 256).
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first) % bound
    }

    /// Whether the string is used up.
    pub(super) const fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

impl Schema {
    /// Reads `proto/` below the crate at `root`.
    pub(super) fn read(root: &str) -> Self {
        let set = protox::compile(["opamp/v1/opamp.proto"], [format!("{root}/proto")])
            .expect("the schema compiles, or this crate would not have been built");
        let mut all = HashMap::new();
        for file in set.file {
            let prefix = format!(".{}", file.package());
            for message in file.message_type {
                insert(&mut all, &prefix, message);
            }
        }
        Self(all)
    }

    /// The bytes of a message of this type, such as `AgentToServer`.
    pub(super) fn message(&self, name: &str, choices: &mut Choices<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&format!(".opamp.proto.v1.{name}"), choices, 0, &mut out);
        out
    }

    fn write(&self, name: &str, choices: &mut Choices<'_>, depth: u32, out: &mut Vec<u8>) {
        let message = &self.0[name];
        // One more than there are fields: the last stands for an unknown one.
        let kinds = message.field.len() + 1;
        let count = choices.below(if depth == 0 { kinds + 2 } else { 4 });
        for _ in 0..count {
            if choices.is_over() || out.len() > MESSAGE_BYTES_MAX {
                return;
            }
            match message.field.get(choices.below(kinds)) {
                Some(field) => self.write_field(field, choices, depth, out),
                None => write_unknown(choices, out),
            }
        }
    }

    fn write_field(
        &self,
        field: &FieldDescriptorProto,
        choices: &mut Choices<'_>,
        depth: u32,
        out: &mut Vec<u8>,
    ) {
        let number = u32::try_from(field.number()).expect("field numbers are positive");
        let repeats = if field.label() == Label::Repeated { choices.below(3) } else { 1 };
        for _ in 0..repeats {
            match field.r#type() {
                Type::Message if depth < DEPTH_MAX => {
                    let mut value = Vec::new();
                    self.write(field.type_name(), choices, depth + 1, &mut value);
                    prost::encoding::bytes::encode(number, &value, out);
                }
                Type::Message => prost::encoding::bytes::encode(number, &Vec::new(), out),
                Type::String | Type::Bytes => {
                    prost::encoding::bytes::encode(number, &text(choices), out);
                }
                Type::Fixed64 => {
                    prost::encoding::fixed64::encode(number, &integer(choices), out);
                }
                Type::Double => {
                    // Numbers alone, because NaN differs from itself.
                    let value = f64::from(u8::from(choices.below(2) == 1)) + 0.5;
                    prost::encoding::double::encode(number, &value, out);
                }
                Type::Uint64 | Type::Int64 | Type::Bool | Type::Enum => {
                    prost::encoding::uint64::encode(number, &integer(choices), out);
                }
                other => panic!("the schema has a type that is not generated: {other:?}"),
            }
        }
    }
}

fn insert(all: &mut HashMap<String, DescriptorProto>, prefix: &str, message: DescriptorProto) {
    let name = format!("{prefix}.{}", message.name());
    for nested in &message.nested_type {
        insert(all, &name, nested.clone());
    }
    all.insert(name, message);
}

/// Field 1000, or one with a number just above the schema's, in any wire type.
fn write_unknown(choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let number = [16, 31, 32, 1000, (1 << 29) - 1][choices.below(5)];
    match choices.below(4) {
        0 => prost::encoding::uint64::encode(number, &integer(choices), out),
        1 => prost::encoding::bytes::encode(number, &text(choices), out),
        2 => prost::encoding::fixed32::encode(number, &7, out),
        _ => prost::encoding::fixed64::encode(number, &integer(choices), out),
    }
}

/// Mostly few and short, so that map keys meet again; sometimes longer than a one-byte length.
fn text(choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.below(8) {
        0 => Vec::new(),
        1 => vec![b'x'; 16],
        2 => vec![b'y'; 100 + choices.below(100)],
        letter => vec![b'a' + u8::try_from(letter).expect("below 8")],
    }
}

fn integer(choices: &mut Choices<'_>) -> u64 {
    match choices.below(6) {
        0 => 0,
        1 => 1 << choices.below(64),
        2 => u64::MAX,
        _ => choices.below(256) as u64,
    }
}
