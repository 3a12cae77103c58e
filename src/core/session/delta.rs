//! R1 and R2: the digests of a report, and what the report changes. Plain values.

use super::parts::{COMPONENTS, PARTS};
use crate::opamp::digest::{Digest, RawHash};
use crate::opamp::field_set::FieldSet;

/// The digests of one report.
#[derive(Debug)]
pub struct ReportDigests {
    parts: FieldSet,
    hash: RawHash,
    digests: [Digest; PARTS.len()],
}

impl ReportDigests {
    pub(super) const fn new(hash: RawHash) -> Self {
        Self { parts: FieldSet::EMPTY, hash, digests: [Digest([0; 16]); PARTS.len()] }
    }

    /// Adds the digest of one part. Other numbers are passed over.
    pub fn put(&mut self, number: u32, digest: Digest) {
        if let Some(place) = PARTS.iter().position(|part| *part == number) {
            self.parts.insert(number);
            self.digests[place] = digest;
        }
    }

    /// The report leaves this part open.
    pub(super) fn leave_out(&mut self, part: FieldSet) {
        self.parts = self.parts.minus(part);
    }

    pub(super) const fn parts(&self) -> FieldSet {
        self.parts
    }

    pub(super) const fn hash(&self) -> RawHash {
        self.hash
    }

    pub(super) const fn digest(&self, place: usize) -> Digest {
        self.digests[place]
    }
}

/// What a report changes. See the module's text.
#[derive(Debug)]
pub(super) struct Delta {
    /// Parts that the server lacks.
    pub(super) changed: FieldSet,
    /// Of them, the parts that have no digest: the message is over all limits.
    pub(super) undigested: FieldSet,
    /// Parts that differ from what the agent reported before.
    pub(super) fresh: FieldSet,
    /// The report carries the components themselves, beside their hash.
    pub(super) has_map: bool,
    /// The components came whose hash has been reported before.
    pub(super) map_came: bool,
    /// `None`: the report has the bytes of the last one, and so its digests.
    pub(super) digests: Option<ReportDigests>,
}

impl Delta {
    /// The parts whose bytes have to be stored, with their digests.
    pub(super) fn to_store(&self) -> impl Iterator<Item = (u32, Digest)> + '_ {
        let wanted = if self.map_came { self.fresh.union(COMPONENTS) } else { self.fresh };
        self.digests.iter().flat_map(move |taken| {
            let parts = PARTS.into_iter().zip(taken.digests);
            parts.filter(move |(part, _)| wanted.contains(*part))
        })
    }
}
