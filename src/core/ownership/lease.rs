//! What a node says of itself in the store, with each renewal. Must not know how it is stored.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::ids::{CertificateFingerprint, Counter, MapVersion, NodeIncarnation, NodeName, RunId};

/// The version of a node's software, as a short text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct SoftwareVersion(Box<str>);

impl SoftwareVersion {
    /// The longest text, in bytes; a longer one is cut.
    pub const BYTES_MAX: usize = 32;

    /// The text, cut at a character's border.
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(Self::BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text[..end].into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SoftwareVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the other nodes count with: for shares of the admission rate, and for absences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Agents connected to this node.
    pub connected: u32,
    /// Agents at home here that are absent.
    pub absent: u32,
    /// Agents that wait for admission here.
    pub waiting: u32,
    /// Admissions a second that this node takes at most.
    pub rate: u32,
    /// Admissions a second that it could use.
    pub need: u32,
    /// The latest moment told to a refused agent here, counted from the renewal.
    pub told_until: Duration,
    /// How overloaded the node is, 0 for a node at ease.
    pub overload: u8,
}

/// A node's lease. Each renewal writes it whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The node's name.
    pub name: NodeName,
    /// The node's life.
    pub incarnation: NodeIncarnation,
    /// How often this incarnation has renewed.
    pub counter: Counter,
    /// The version of membership and map that the node has read.
    pub read: MapVersion,
    /// The life of the store in which it read that: versions of two lives do not compare.
    pub run: RunId,
    /// The version that its joining made; 0 until the node knows it.
    pub joined: MapVersion,
    /// Where its node links are dialled; `None`: no other node needs to.
    pub address: Option<SocketAddr>,
    /// The certificate of its node links.
    pub fingerprint: CertificateFingerprint,
    /// Its software.
    pub software: SoftwareVersion,
    /// Fingerprint of the settings that must be the same on all nodes.
    pub settings: u64,
    /// Whether it goes on speaking as the only member while the store is away (`lone = "speak"`).
    pub lone_speaks: bool,
    /// Whether it hands its shards over and takes none.
    pub leaving: bool,
    /// The highest format of stored values that it knows.
    pub format: u8,
    /// What the others count with.
    pub figures: Figures,
}

/// The part of a lease that is written alike in every format, so that a node of an older version can watch
/// a newer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseHead {
    /// The node's life.
    pub incarnation: NodeIncarnation,
    /// How often this incarnation has renewed.
    pub counter: Counter,
    /// The version of membership and map that the node has read.
    pub read: MapVersion,
    /// The life of the store in which it read that.
    pub run: RunId,
    /// The node's name.
    pub name: NodeName,
}

impl Lease {
    /// Of a node that has yet to renew, and of which this alone is known. It knows the first format, as every version
    /// does.
    pub fn new(name: NodeName, incarnation: NodeIncarnation) -> Self {
        Self {
            name,
            incarnation,
            counter: Counter(0),
            read: MapVersion(0),
            run: RunId(0),
            joined: MapVersion(0),
            address: None,
            fingerprint: CertificateFingerprint([0; 32]),
            software: SoftwareVersion::default(),
            settings: 0,
            lone_speaks: false,
            leaving: false,
            format: 1,
            figures: Figures::default(),
        }
    }

    /// The part that every version of the software understands.
    pub fn head(&self) -> LeaseHead {
        LeaseHead {
            incarnation: self.incarnation,
            counter: self.counter,
            read: self.read,
            run: self.run,
            name: self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_cut_at_a_characters_border() {
        assert_eq!(SoftwareVersion::new("0.1.0").as_str(), "0.1.0");
        let long = format!("{}ä", "a".repeat(31));
        assert_eq!(SoftwareVersion::new(&long).as_str(), "a".repeat(31));
    }
}
