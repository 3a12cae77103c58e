//! Custom messages that say how something *is*. What their capability is for decides what a server needs of them:
//!
//! | kind | while it waits | unchanged |
//! |---|---|---|
//! | event | all wait, in order | sent |
//! | latest | a newer one takes its place | sent |
//! | dedup | a newer one takes its place | answered here |
//!
//! *Unchanged* is what has the bytes of the last one that went, as long as nothing has cast doubt on that: a lost link, a
//! refusal, a server that asks for the state or has forgotten the agent each bring the next one through. Messages of one
//! capability and type are one state.

use crate::opamp::digest::RawHash;
use crate::opamp::field_set::agent_field;
use crate::opamp::fields::fields;

/// Fields of `CustomMessage`.
const CAPABILITY: u32 = 1;
const TYPE: u32 = 2;
/// States of one agent that are remembered; those of further capabilities and types go on each time.
const STATES_MAX: usize = 4;

/// What a server needs of an agent's custom messages of one capability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CustomKind {
    /// Each of them.
    #[default]
    Event,
    /// The newest.
    Latest,
    /// The newest, once.
    Dedup,
}

/// A custom message in a message of its agent.
#[derive(Clone, Copy)]
pub(super) struct CustomFields<'a> {
    pub(super) capability: &'a [u8],
    pub(super) r#type: &'a [u8],
    /// All of it.
    pub(super) value: &'a [u8],
}

impl<'a> CustomFields<'a> {
    /// The only one in the message.
    pub(super) fn of(message: &'a [u8]) -> Option<Self> {
        let is_custom = |number| number == agent_field::CUSTOM_MESSAGE;
        let mut found =
            fields(message).map_while(Result::ok).filter(|field| is_custom(field.number));
        let (first, more) = (found.next()?, found.next());
        if more.is_some() {
            // Decoders merge them.
            return None;
        }
        let value = &message[first.value];
        let mut custom = Self { capability: &[], r#type: &[], value };
        for field in fields(value).map_while(Result::ok) {
            match field.number {
                CAPABILITY => custom.capability = &value[field.value],
                TYPE => custom.r#type = &value[field.value],
                _ => {}
            }
        }
        Some(custom)
    }

    pub(super) fn is_of(&self, other: &Self) -> bool {
        (self.capability, self.r#type) == (other.capability, other.r#type)
    }
}

/// What was sent of one capability and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SentState {
    pub(super) name: RawHash,
    pub(super) value: RawHash,
}

/// The states that the server has. Stays behind on its node: the next one lets each through once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentStates(Option<Box<[Option<SentState>; STATES_MAX]>>);

impl SentStates {
    /// None.
    pub(super) const EMPTY: Self = Self(None);

    /// What the server has of them is in doubt.
    pub(super) fn forget(&mut self) {
        self.0 = None;
    }

    pub(super) fn has(&self, state: SentState) -> bool {
        self.0.as_ref().is_some_and(|states| states.contains(&Some(state)))
    }

    pub(super) fn put(&mut self, state: SentState) {
        let states = self.0.get_or_insert_default();
        let is_named = |known: &SentState| known.name == state.name;
        let place = states.iter().position(|known| known.as_ref().is_some_and(is_named));
        if let Some(place) = place.or_else(|| states.iter().position(Option::is_none)) {
            states[place] = Some(state);
        }
    }

    pub(super) fn remove(&mut self, name: RawHash) {
        for known in self.0.iter_mut().flat_map(|states| states.iter_mut()) {
            known.take_if(|known| known.name == name);
        }
    }
}
