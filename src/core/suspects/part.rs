//! The parts of an agent's message, as far as one of them can be held back: each with its content's digest, so that a
//! part is known again whatever message brings it, and is another one as soon as it changes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::fields::{Field, fields};

/// Fields that say who speaks and that the agent is there: a message without them is none.
const ALWAYS: FieldSet = FieldSet::of(&[
    agent_field::INSTANCE_UID,
    agent_field::SEQUENCE_NUM,
    agent_field::CAPABILITIES,
    agent_field::AGENT_DISCONNECT,
    agent_field::FLAGS,
]);

/// One field of an `AgentToServer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessagePart {
    /// The field's number.
    pub number: u32,
    /// Of its content.
    digest: u64,
    /// How long it is.
    pub bytes: usize,
}

impl MessagePart {
    fn of(field: &Field, message: &[u8]) -> Self {
        // On one node alone, and an agent that makes two contents of one digest hurts itself alone.
        let mut hasher = DefaultHasher::new();
        let value = &message[field.value.clone()];
        (value, field.varint()).hash(&mut hasher);
        Self { number: field.number, digest: hasher.finish(), bytes: field.whole.len() }
    }

    /// What the schema calls it.
    pub const fn name(&self) -> &'static str {
        agent_field::name(self.number)
    }
}

fn can_be_held(field: &Field) -> bool {
    !ALWAYS.contains(field.number)
}

/// The parts of a message. What follows a fault is left out.
pub fn parts(message: &[u8]) -> Vec<MessagePart> {
    let held = fields(message).map_while(Result::ok).filter(can_be_held);
    held.map(|field| MessagePart::of(&field, message)).collect()
}

/// The message without the parts that `is_held` names.
pub fn without(message: &[u8], is_held: impl Fn(&MessagePart) -> bool) -> Vec<u8> {
    let mut rest = Vec::with_capacity(message.len());
    for field in fields(message).map_while(Result::ok) {
        if !can_be_held(&field) || !is_held(&MessagePart::of(&field, message)) {
            rest.extend_from_slice(&message[field.whole]);
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ident::{InstanceUid, SequenceNum};
    use crate::opamp::splice;

    #[test]
    fn a_part_is_known_by_its_content_and_the_rest_goes_without_it() {
        let uid = InstanceUid::from_bytes([1; 16]);
        let message = |config: &[u8]| {
            let mut message = Vec::new();
            splice::announce(uid, 7, SequenceNum(3), &mut message);
            splice::field(agent_field::EFFECTIVE_CONFIG, config, &mut message);
            splice::field(agent_field::HEALTH, b"fine", &mut message);
            message
        };
        let first = parts(&message(b"poison"));
        let numbers: Vec<_> = first.iter().map(|part| part.number).collect();
        assert_eq!(numbers, [agent_field::EFFECTIVE_CONFIG, agent_field::HEALTH]);
        assert_eq!(first, parts(&message(b"poison")));
        assert_ne!(first[0], parts(&message(b"cured!"))[0]);
        let rest = without(&message(b"poison"), |part| *part == first[0]);
        assert_eq!(parts(&rest), [first[1]]);
        assert_eq!(rest.len() + first[0].bytes, message(b"poison").len());
        assert_eq!(without(&message(b"cured!"), |part| *part == first[0]), message(b"cured!"));
        assert!(parts(&without(&message(b"x"), |_| true)).is_empty());
    }
}
