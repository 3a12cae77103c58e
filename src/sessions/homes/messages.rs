//! An agent's message as it comes from its front: what of it the home has to ask for, and the message made whole. Parts
//! that travelled as a digest alone come from the content store, if the agent has reported them with that digest.

use super::super::contents::Contents;
use crate::core::node_link::{AgentReport, PartDigests};
use crate::core::session::{Session, has_reported, reports_map};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, DigestKey, RawHash};
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::splice::{self, AgentHead};

/// The parts that must come as bytes: see [`HomePort::needs`](crate::core::attachment::HomePort::needs).
pub(super) fn needs(
    report: &AgentReport<'_>,
    secret_id: u64,
    session: &Session,
    contents: &Contents,
) -> FieldSet {
    let mut needs = FieldSet::EMPTY;
    for (part, digest) in digest_alone(report).filter(|(part, _)| !report.gone.contains(*part)) {
        if !is_known(report, (part, digest), secret_id, session) || !contents.has(part) {
            needs.insert(part);
        }
    }
    if report.has_map && !carries_components(report) && !has_map(contents) {
        needs.insert(agent_field::AVAILABLE_COMPONENTS);
    }
    needs
}

/// Whether components came as bytes, or were given up.
fn carries_components(report: &AgentReport<'_>) -> bool {
    let carried = AgentScan::parse(report.fields).map_or(FieldSet::EMPTY, |scan| scan.present);
    carried.union(report.gone).contains(agent_field::AVAILABLE_COMPONENTS)
}

/// Whether the component map is in the store. The digest leaves that open.
fn has_map(contents: &Contents) -> bool {
    let mut stored = Vec::new();
    contents.append(FieldSet::of(&[agent_field::AVAILABLE_COMPONENTS]), &mut stored);
    AgentScan::parse(&stored).is_ok_and(|scan| reports_map(&scan))
}

/// What the home has of the agent.
#[derive(Clone, Copy)]
pub(super) struct AgentSoFar<'a> {
    pub(super) session: &'a Session,
    pub(super) contents: &'a Contents,
}

/// What of a message's parts stays out of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotInBytes {
    /// The server has them: the digest says all.
    pub(super) told: FieldSet,
    /// Their front has given them up, or the store has lost them since.
    pub(super) unknown: FieldSet,
}

/// Appends the message to `out`, whole but for what is left out. `told`: the parts whose bytes are not needed.
pub(super) fn make_whole(
    report: &AgentReport<'_>,
    (secret_id, told): (u64, FieldSet),
    has: &AgentSoFar<'_>,
    out: &mut Vec<u8>,
) -> NotInBytes {
    let AgentSoFar { session, contents } = *has;
    let AgentReport { sequence_num, capabilities, flags, present, .. } = *report;
    let is_numbered = present.contains(agent_field::SEQUENCE_NUM);
    let sequence_num = is_numbered.then_some(sequence_num);
    splice::agent_head(session.uid(), &AgentHead { sequence_num, capabilities, flags }, out);
    out.extend_from_slice(report.fields);
    let (mut known, mut unknown) = (FieldSet::EMPTY, FieldSet::EMPTY);
    for (part, digest) in digest_alone(report) {
        let is_known = is_known(report, (part, digest), secret_id, session);
        if is_known { known.insert(part) } else { unknown.insert(part) }
    }
    let missing = contents.append(known.minus(told), out);
    NotInBytes { told: known.intersection(told), unknown: unknown.union(missing) }
}

/// The digests that may stand for their parts: those by the key in use.
pub(super) fn usable_digests<'a>(
    report: &AgentReport<'a>,
    secret_id: u64,
) -> Option<PartDigests<'a>> {
    report.digests.filter(|digests| digests.secret() == secret_id)
}

/// The parts that travelled as a digest alone.
fn digest_alone<'a>(report: &AgentReport<'a>) -> impl Iterator<Item = (u32, Digest)> + use<'a> {
    let carried = AgentScan::parse(report.fields).map_or(FieldSet::EMPTY, |scan| scan.present);
    let digests = report.digests.into_iter().flat_map(|digests| digests.iter());
    digests.filter(move |(part, _)| !carried.contains(*part))
}

fn is_known(
    report: &AgentReport<'_>,
    (part, digest): (u32, Digest),
    secret_id: u64,
    session: &Session,
) -> bool {
    usable_digests(report, secret_id).is_some() && has_reported(session, part, digest)
}

/// Equal for equal digests of the same parts, in place of a hash of the message's bytes.
pub(in crate::sessions) fn hash_of_digests(
    key: &DigestKey,
    scan: &AgentScan<'_>,
    digests: &PartDigests<'_>,
) -> RawHash {
    let mut bytes = Vec::with_capacity(256);
    // The digest of components leaves open whether they are there beside their hash.
    bytes.push(u8::from(reports_map(scan)));
    bytes.extend_from_slice(&scan.present.bits().to_le_bytes());
    bytes.extend_from_slice(&scan.capabilities.to_le_bytes());
    for (part, digest) in digests.iter().filter(|(part, _)| scan.present.contains(*part)) {
        bytes.extend_from_slice(&part.to_le_bytes());
        bytes.extend_from_slice(&digest.0);
    }
    RawHash::of(key, &bytes)
}
