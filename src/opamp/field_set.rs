//! Sets of top-level fields, and the numbers of the fields of the two OpAMP messages.
//!
//! A set is one word, because a session holds several for each of a million agents. Must not know what the
//! fields hold.

/// A set of field numbers. All numbers outside the schema share one place, [`FieldSet::OTHER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FieldSet(u32);

impl FieldSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Stands for every field outside the schema. Field numbers begin with 1, so 0 is free for it.
    pub const OTHER: u32 = 0;

    const fn bit(number: u32) -> u32 {
        if number < 32 { 1 << number } else { 1 << Self::OTHER }
    }

    /// The set of the given numbers; a number above 31 counts as [`FieldSet::OTHER`].
    pub const fn of(numbers: &[u32]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < numbers.len() {
            bits |= Self::bit(numbers[index]);
            index += 1;
        }
        Self(bits)
    }

    /// Whether the number is a member.
    pub const fn contains(self, number: u32) -> bool {
        self.0 & Self::bit(number) != 0
    }

    /// Adds a number.
    pub const fn insert(&mut self, number: u32) {
        self.0 |= Self::bit(number);
    }

    /// Members of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Members of both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Members of this set that the other lacks.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every member of this set is in the other.
    pub const fn is_subset(self, of: Self) -> bool {
        self.0 & !of.0 == 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many members the set has.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The set as a number, for records and messages between nodes.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of which [`FieldSet::bits`] gave this number.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The members in rising order, [`FieldSet::OTHER`] first.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..32).filter(move |number| self.contains(*number))
    }
}

/// Field numbers of `AgentToServer` (OpAMP specification, "AgentToServer Message").
#[allow(missing_docs)] // the names are the specification's
pub mod agent_field {
    use super::FieldSet;

    pub const INSTANCE_UID: u32 = 1;
    pub const SEQUENCE_NUM: u32 = 2;
    pub const AGENT_DESCRIPTION: u32 = 3;
    pub const CAPABILITIES: u32 = 4;
    pub const HEALTH: u32 = 5;
    pub const EFFECTIVE_CONFIG: u32 = 6;
    pub const REMOTE_CONFIG_STATUS: u32 = 7;
    pub const PACKAGE_STATUSES: u32 = 8;
    pub const AGENT_DISCONNECT: u32 = 9;
    pub const FLAGS: u32 = 10;
    pub const CONNECTION_SETTINGS_REQUEST: u32 = 11;
    pub const CUSTOM_CAPABILITIES: u32 = 12;
    pub const CUSTOM_MESSAGE: u32 = 13;
    pub const AVAILABLE_COMPONENTS: u32 = 14;
    pub const CONNECTION_SETTINGS_STATUS: u32 = 15;

    /// The parts of an agent's state. All fields outside the schema are one part; capabilities, which are a
    /// number and go with every message, stand last.
    pub const STATE_PARTS: [u32; 10] = [
        FieldSet::OTHER,
        AGENT_DESCRIPTION,
        HEALTH,
        EFFECTIVE_CONFIG,
        REMOTE_CONFIG_STATUS,
        PACKAGE_STATUSES,
        CUSTOM_CAPABILITIES,
        AVAILABLE_COMPONENTS,
        CONNECTION_SETTINGS_STATUS,
        CAPABILITIES,
    ];

    /// The name that the schema gives a field; `other` for one outside it.
    pub const fn name(number: u32) -> &'static str {
        match number {
            INSTANCE_UID => "instance_uid",
            SEQUENCE_NUM => "sequence_num",
            AGENT_DESCRIPTION => "agent_description",
            CAPABILITIES => "capabilities",
            HEALTH => "health",
            EFFECTIVE_CONFIG => "effective_config",
            REMOTE_CONFIG_STATUS => "remote_config_status",
            PACKAGE_STATUSES => "package_statuses",
            AGENT_DISCONNECT => "agent_disconnect",
            FLAGS => "flags",
            CONNECTION_SETTINGS_REQUEST => "connection_settings_request",
            CUSTOM_CAPABILITIES => "custom_capabilities",
            CUSTOM_MESSAGE => "custom_message",
            AVAILABLE_COMPONENTS => "available_components",
            CONNECTION_SETTINGS_STATUS => "connection_settings_status",
            _ => "other",
        }
    }

    /// What a heartbeat may carry.
    pub const HEARTBEAT: FieldSet =
        FieldSet::of(&[INSTANCE_UID, SEQUENCE_NUM, CAPABILITIES, FLAGS]);

    /// The fields that report state, which agents leave out while it is unchanged ("Agent Status
    /// Compression").
    pub const STATUS: FieldSet =
        FieldSet::of(&STATE_PARTS).minus(FieldSet::of(&[FieldSet::OTHER, CAPABILITIES]));
}

/// Field numbers of `ServerToAgent` (OpAMP specification, "ServerToAgent Message").
#[allow(missing_docs)] // the names are the specification's
pub mod server_field {
    use super::FieldSet;

    pub const INSTANCE_UID: u32 = 1;
    pub const ERROR_RESPONSE: u32 = 2;
    pub const REMOTE_CONFIG: u32 = 3;
    pub const CONNECTION_SETTINGS: u32 = 4;
    pub const PACKAGES_AVAILABLE: u32 = 5;
    pub const FLAGS: u32 = 6;
    pub const CAPABILITIES: u32 = 7;
    pub const AGENT_IDENTIFICATION: u32 = 8;
    pub const COMMAND: u32 = 9;
    pub const CUSTOM_CAPABILITIES: u32 = 10;
    pub const CUSTOM_MESSAGE: u32 = 11;

    /// What a reply that only acknowledges may carry.
    pub const ACKNOWLEDGEMENT: FieldSet =
        FieldSet::of(&[INSTANCE_UID, FLAGS, CAPABILITIES, CUSTOM_CAPABILITIES]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_behave_as_sets() {
        let mut set = FieldSet::of(&[1, 31]);
        assert!(set.contains(1) && set.contains(31) && !set.contains(2));
        set.insert(2);
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 2, 31]);
        assert_eq!(set.minus(FieldSet::of(&[1, 5])), FieldSet::of(&[2, 31]));
        assert_eq!(set.intersection(FieldSet::of(&[1, 5])), FieldSet::of(&[1]));
        assert!(FieldSet::of(&[2]).is_subset(set) && !FieldSet::of(&[2, 3]).is_subset(set));
        assert!(FieldSet::EMPTY.is_subset(set) && FieldSet::EMPTY.is_empty());
    }

    #[test]
    fn large_numbers_are_other() {
        let set = FieldSet::of(&[500_000_000]);
        assert!(set.contains(FieldSet::OTHER) && set.contains(32));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0]);
    }
}
