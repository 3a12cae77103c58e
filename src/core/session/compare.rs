//! R1 and R2: compares the digests of a report with the replica. How digests are computed and where
//! bytes are stored is the port's business.

use super::Port;
use super::delta::{Delta, ReportDigests};
use super::parts::{CAPABILITIES, PARTS, reports_map};
use super::replica::Replica;
use crate::mutation::{Breach, is_on};
use crate::opamp::agent::AgentScan;
use crate::opamp::field_set::{FieldSet, agent_field};

/// Compares a report with what the agent reported before and with what the server has.
/// `map_asked`: a question for the component map is open.
pub(super) fn compare<P: Port>(
    replica: &Replica,
    scan: &AgentScan<'_>,
    map_asked: bool,
    port: &mut P,
) -> Delta {
    let state = replica.state();
    let hash = port.report_hash(scan);
    let none = FieldSet::EMPTY;
    if state.hash_counts && state.hash == hash {
        return Delta {
            changed: state.last_parts.minus(state.believed()),
            undigested: none,
            fresh: none,
            has_map: false,
            map_came: false,
            digests: None,
        };
    }
    let mut taken = ReportDigests::new(hash);
    port.digest(scan, &mut taken);
    if scan.stated_capabilities().is_none() {
        // What the agent has said of them holds.
        taken.leave_out(CAPABILITIES);
    }
    let (mut changed, mut fresh) = (none, none);
    for (place, part) in PARTS.into_iter().enumerate() {
        if !taken.parts().contains(part) {
            continue;
        }
        if !state.reported.contains(part) || state.digests[place] != taken.digest(place) {
            fresh.insert(part);
            changed.insert(part);
        } else if !state.believed().contains(part) {
            changed.insert(part);
        }
    }
    let has_map = taken.parts().contains(agent_field::AVAILABLE_COMPONENTS) && reports_map(scan);
    // The digest is that of their hash, which may have been reported alone.
    let map_came = has_map && !state.has_map;
    if map_came && (state.map_given || map_asked) {
        // The server has asked for them, whatever it got since.
        changed.insert(agent_field::AVAILABLE_COMPONENTS);
    }
    let undigested = scan.present.intersection(agent_field::STATUS).minus(taken.parts());
    let changed = changed.union(undigested).minus(overlooked(changed));
    Delta { changed, undigested, fresh, has_map, map_came, digests: Some(taken) }
}

/// Changes to overlook, for a deliberate breach of a rule.
fn overlooked(changed: FieldSet) -> FieldSet {
    const CONFIG: FieldSet = FieldSet::of(&[agent_field::EFFECTIVE_CONFIG]);
    if is_on(Breach::R1SuppressesNews) {
        return changed;
    }
    let beside_others = is_on(Breach::R2DropsChange) && !changed.is_subset(CONFIG);
    if beside_others { CONFIG } else { FieldSet::EMPTY }
}
