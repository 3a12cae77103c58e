//! Names and counters of nodes and of the store that they share. Must not know a node's state.

use std::fmt;
use std::num::NonZeroU64;

/// One life of a node: a random number, new with each start and after each loss of its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeIncarnation(pub NonZeroU64);

impl NodeIncarnation {
    /// From a number; `None` of zero, which stands for "no node" in what is stored.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for NodeIncarnation {
    /// 16 hexadecimal digits, as in the store.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A node's name, from the configuration or the host: it stays the same over restarts.
/// 1 to 63 bytes of `a-z`, `0-9`, `.` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeName(Box<str>);

/// Why a text is no name for a node. The fault of the configuration; retrying does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, or too long.
    #[error("a node's name has 1 to 63 characters, this one has {0}")]
    Length(usize),
    /// The configuration, or the host, uses another character.
    #[error("a node's name is made of a-z, 0-9, '.' and '-'; this one has {0:?}")]
    Character(char),
}

impl NodeName {
    /// The longest name, in bytes: that of a label in DNS.
    pub const BYTES_MAX: usize = 63;

    /// Checks a name.
    ///
    /// # Errors
    /// Says which of the rules the text breaks.
    pub fn try_new(text: &str) -> Result<Self, NameError> {
        let is_allowed = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-');
        if let Some(other) = text.chars().find(|c| !is_allowed(c)) {
            return Err(NameError::Character(other));
        }
        if text.is_empty() || text.len() > Self::BYTES_MAX {
            return Err(NameError::Length(text.len()));
        }
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How often a node has renewed its lease in this incarnation. One that moves shows that the node lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Counter(pub u64);

impl Counter {
    /// The counter of the next renewal.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The version of membership and map together. It grows with each change of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MapVersion(pub u64);

impl MapVersion {
    /// The highest version: the scripts of the store count in double precision.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// The version of the next change.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 < Self::MAX.0 { Self(self.0 + 1) } else { Self::MAX }
    }
}

/// One tenure of a shard's home. Equal epochs are the same tenure; two takers may have used the same
/// number, so that order alone says too little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch {
    /// Grows by one with each change of the shard's home.
    pub number: u64,
    /// The incarnation that wrote the change.
    pub taker: NodeIncarnation,
}

impl Epoch {
    /// The highest number that is believed. A shard that changes its home a thousand times a second comes to it after
    /// 285,000 years.
    pub const NUMBER_MAX: u64 = MapVersion::MAX.0;

    /// Whether this tenure is later than `other`, by number alone.
    pub const fn newer_than(self, other: Self) -> bool {
        self.number > other.number
    }
}

/// Numbers the attempts of one incarnation to hand shards over. Of two attempts with the same shard only the sessions of
/// the later one count: those of the earlier one may have gone on since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MoveNumber(pub u64);

/// SHA-256 of the certificate that a node shows on its node links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateFingerprint(pub [u8; 32]);

/// The fleet's key of digests, shared by all nodes, so that equal parts have equal digests on each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret {
    /// Tells one key from another without showing it.
    pub id: u64,
    /// The key.
    pub key: [u8; 32],
}

impl fmt::Debug for Secret {
    /// Shows the id alone: a secret stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Which life of the store answered. Another one than before means that the store may have gone back:
/// it was restarted, replaced by a replica, or has lost a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunId(pub u128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_label_of_dns_or_several() {
        for name in ["a", "seawall-0.seawall.ns", &"a".repeat(63)] {
            assert_eq!(NodeName::try_new(name).unwrap().as_str(), name);
        }
        assert_eq!(NodeName::try_new(""), Err(NameError::Length(0)));
        assert_eq!(NodeName::try_new(&"a".repeat(64)), Err(NameError::Length(64)));
        assert_eq!(NodeName::try_new("Node"), Err(NameError::Character('N')));
        assert_eq!(NodeName::try_new("ä"), Err(NameError::Character('ä')));
    }

    #[test]
    fn epochs_are_ordered_by_number_and_equal_by_both() {
        let by = |number, taker| Epoch { number, taker: NodeIncarnation::new(taker).unwrap() };
        assert!(by(2, 1).newer_than(by(1, 9)));
        assert!(!by(2, 1).newer_than(by(2, 2)) && !by(2, 2).newer_than(by(2, 1)));
        assert_ne!(by(2, 1), by(2, 2));
    }

    #[test]
    fn a_secret_stays_out_of_logs() {
        let shown = format!("{:?}", Secret { id: 7, key: [0xab; 32] });
        assert_eq!(shown, "Secret { id: 7, .. }");
    }

    #[test]
    fn versions_stop_at_the_highest_that_a_script_can_count() {
        assert_eq!(MapVersion(4).next(), MapVersion(5));
        assert_eq!(MapVersion::MAX.next(), MapVersion::MAX);
    }
}
