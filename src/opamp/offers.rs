//! What waits for an agent that is absent or polls: the latest offer of each kind, and custom messages
//! in their order.
//!
//! A server's messages are taken apart and put together again as fewer messages that mean the same.
//! Bounded in bytes and in custom messages; each refusal is reported to the caller. How long to store an
//! offer, and whether to store it at all, is the session's decision. Must not know time.

use std::collections::VecDeque;

use super::field_set::server_field;
use super::fields::{ScanError, fields};
use super::server::ServerScan;
use super::splice::Additions;
use super::stored_fields::{OVERHEAD_BYTES, StoredFields};
use super::stored_settings::StoredSettings;
use super::wire::{put_len_field, put_len_head, put_varint_field};
use crate::ident::InstanceUid;

/// How much may wait for one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffersLimits {
    /// Bytes, overhead included. One message is always taken, however large.
    pub bytes_max: usize,
    /// Custom messages.
    pub custom_messages_max: usize,
}

/// What [`Offers::absorb`] refused. All zero when it stored everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Absorbed {
    /// Custom messages refused: the newest goes, so that the order of the others holds.
    pub dropped_custom: u32,
    /// Offers refused. Any older offer of the same kind is gone too: the server has superseded it.
    pub dropped_offers: u32,
    /// Bytes of both.
    pub dropped_bytes: usize,
    /// Connection settings that are malformed inside: the server's fault.
    pub malformed: u32,
}

impl Absorbed {
    /// Adds what another message had refused.
    pub const fn add(&mut self, other: Self) {
        self.dropped_custom += other.dropped_custom;
        self.dropped_offers += other.dropped_offers;
        self.dropped_bytes += other.dropped_bytes;
        self.malformed += other.malformed;
    }
}

/// What waits for one agent. Allocates with the first item.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Offers {
    flags: u64,
    capabilities: Option<u64>,
    fields: StoredFields,
    /// `Some` once connection settings were offered: an offer may be empty.
    settings: Option<StoredSettings>,
    custom: VecDeque<Box<[u8]>>,
    custom_bytes: usize,
    /// Counts messages, to tell the fields of one from those of another.
    generation: u32,
}

impl Offers {
    /// Flags that the agent must get: questions of the server.
    pub const fn flags(&self) -> u64 {
        self.flags
    }

    /// Adds a server's message to what waits.
    ///
    /// The later offer of a kind replaces the earlier; flags are joined; the last capabilities count;
    /// connection settings are merged one level down, and their map of other connections by key;
    /// custom messages queue. Unknown fields are stored like offers, by number.
    pub fn absorb(&mut self, scan: &ServerScan<'_>, limits: OffersLimits) -> Absorbed {
        let mut absorbed = Absorbed::default();
        let mut custom = Vec::new();
        self.generation = self.generation.wrapping_add(1);
        self.flags |= scan.flags;
        self.capabilities = scan.capabilities.or(self.capabilities);
        for field in fields(scan.bytes) {
            // The scan has checked the bytes, so every field is well-formed. (An adapter such as `map_while`
            // would put each field into memory.)
            let Ok(field) = field else { break };
            let whole = &scan.bytes[field.whole.clone()];
            match field.number {
                server_field::INSTANCE_UID | server_field::FLAGS | server_field::CAPABILITIES => {}
                server_field::CUSTOM_MESSAGE => custom.extend_from_slice(whole),
                server_field::CONNECTION_SETTINGS => {
                    if self.absorb_settings(&scan.bytes[field.value]).is_err() {
                        absorbed.malformed += 1;
                    }
                }
                number => self.fields.put(number, &[], self.generation, whole),
            }
        }
        if self.bytes() > limits.bytes_max {
            self.shed_newest(&mut absorbed);
        }
        if !custom.is_empty() {
            self.queue_custom(custom, limits, &mut absorbed);
        }
        absorbed
    }

    /// Merges an offer of connection settings; a malformed one is refused as a whole.
    fn absorb_settings(&mut self, value: &[u8]) -> Result<(), ScanError> {
        if let Some(settings) = &mut self.settings {
            return settings.merge(value, self.generation);
        }
        self.settings = Some(StoredSettings::new(value, self.generation)?);
        Ok(())
    }

    /// Takes back what the newest message brought, unless only that waits.
    fn shed_newest(&mut self, absorbed: &mut Absorbed) {
        let generation = self.generation;
        let alone = self.custom.is_empty()
            && self.fields.all_of(generation)
            && self.settings.as_ref().is_none_or(|settings| settings.all_of(generation));
        if alone {
            return;
        }
        let (bytes, dropped) = self.fields.drop_generation(generation);
        absorbed.dropped_bytes += bytes;
        absorbed.dropped_offers += dropped;
        // Half an offer of settings would be wrong: they go as one.
        if let Some(settings) = self.settings.take_if(|settings| settings.any_of(generation)) {
            absorbed.dropped_bytes += settings.bytes();
            absorbed.dropped_offers += 1;
        }
    }

    fn queue_custom(&mut self, whole: Vec<u8>, limits: OffersLimits, absorbed: &mut Absorbed) {
        let bytes = OVERHEAD_BYTES + whole.len();
        let held = self.bytes();
        let fits = held == 0 || held + bytes <= limits.bytes_max;
        if fits && self.custom.len() < limits.custom_messages_max {
            self.custom_bytes += bytes;
            self.custom.push_back(whole.into_boxed_slice());
        } else {
            absorbed.dropped_custom += 1;
            absorbed.dropped_bytes += bytes;
        }
    }

    /// Writes the next message for the agent and forgets it; returns whether more is left.
    ///
    /// An error goes first and a command last, each in a message of its own: by the specification an error
    /// stands alone, and agents ignore what stands beside a command. One custom message goes with each
    /// message. Additions that this message has no place for wait for the next. An empty mailbox gives an
    /// acknowledgement.
    pub fn take(&mut self, uid: InstanceUid, additions: &Additions<'_>, out: &mut Vec<u8>) -> bool {
        put_len_field(server_field::INSTANCE_UID, &uid.to_wire(), out);
        let alone = if self.fields.contains(server_field::ERROR_RESPONSE) {
            self.fields.remove(server_field::ERROR_RESPONSE)
        } else if self.only_command_waits() {
            self.fields.remove(server_field::COMMAND)
        } else {
            None
        };
        if let Some(whole) = alone {
            out.extend_from_slice(&whole);
            self.store_additions(additions);
        } else {
            self.take_merged(additions, out);
        }
        !self.is_empty()
    }

    fn take_merged(&mut self, additions: &Additions<'_>, out: &mut Vec<u8>) {
        let command = self.fields.remove(server_field::COMMAND);
        let told = self.fields.contains(server_field::CUSTOM_CAPABILITIES);
        std::mem::take(&mut self.fields).write(out);
        if let Some(settings) = self.settings.take() {
            put_len_head(server_field::CONNECTION_SETTINGS, settings.written_bytes(), out);
            settings.write(out);
        }
        if let Some(whole) = self.custom.pop_front() {
            self.custom_bytes -= OVERHEAD_BYTES + whole.len();
            out.extend_from_slice(&whole);
        }
        if self.custom.is_empty() {
            self.custom = VecDeque::new();
        }
        let flags = std::mem::take(&mut self.flags) | additions.flags;
        if flags != 0 {
            put_varint_field(server_field::FLAGS, flags, out);
        }
        if let Some(capabilities) = self.capabilities.take().or(additions.capabilities) {
            put_varint_field(server_field::CAPABILITIES, capabilities, out);
        }
        if let Some(value) = additions.custom_capabilities.filter(|_| !told) {
            put_len_field(server_field::CUSTOM_CAPABILITIES, value, out);
        }
        if let Some(whole) = command {
            self.fields.put(server_field::COMMAND, &[], self.generation, &whole);
        }
    }

    fn only_command_waits(&self) -> bool {
        self.fields.len() == 1
            && self.fields.contains(server_field::COMMAND)
            && self.settings.is_none()
            && self.custom.is_empty()
            && self.flags == 0
            && self.capabilities.is_none()
    }

    /// Stores additions for the next message.
    fn store_additions(&mut self, additions: &Additions<'_>) {
        self.flags |= additions.flags;
        self.capabilities = self.capabilities.or(additions.capabilities);
        if let Some(value) = additions.custom_capabilities
            && !self.fields.contains(server_field::CUSTOM_CAPABILITIES)
        {
            let mut whole = Vec::new();
            put_len_field(server_field::CUSTOM_CAPABILITIES, value, &mut whole);
            self.fields.put(server_field::CUSTOM_CAPABILITIES, &[], self.generation, &whole);
        }
    }

    /// Forgets a command that waits, as for an agent that came back as a new process; returns whether
    /// there was one.
    pub fn clear_command(&mut self) -> bool {
        self.fields.remove(server_field::COMMAND).is_some()
    }

    /// Whether the mailbox is empty.
    pub fn is_empty(&self) -> bool {
        let nothing_kept = self.fields.is_empty() && self.settings.is_none();
        let nothing_said = self.flags == 0 && self.capabilities.is_none();
        nothing_kept && nothing_said && self.custom.is_empty()
    }

    /// Whether anything waits beside questions and what the server says of itself.
    pub fn has_content(&self) -> bool {
        let of_itself = usize::from(self.fields.contains(server_field::CUSTOM_CAPABILITIES));
        self.fields.len() > of_itself || self.settings.is_some() || !self.custom.is_empty()
    }

    /// Bytes held, with an estimate of the overhead: what counts against a budget.
    pub fn bytes(&self) -> usize {
        let settings = self.settings.as_ref().map_or(0, StoredSettings::bytes);
        self.fields.bytes() + settings + self.custom_bytes
    }
}

#[cfg(test)]
mod tests;
