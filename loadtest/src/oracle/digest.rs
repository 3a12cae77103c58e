//! Digests of status fields that are independent of the order of map entries.
//!
//! A field is decoded and encoded again by prost with ordered maps, and the result is hashed. This
//! is apart from the gateway's own digest on purpose: the two must be unable to be wrong in the
//! same way. `status_time_unix_nano` is left out of health, as it moves while all else stays the
//! same, so that the gateway may send an old one.

use std::hash::{DefaultHasher, Hash, Hasher};

use prost::Message;
use seawall::opamp::proto::{
    AgentDescription, AvailableComponents, ComponentHealth, ConnectionSettingsStatus,
    CustomCapabilities, EffectiveConfig, PackageStatuses, RemoteConfigStatus,
};
use serde::{Deserialize, Serialize};

use super::fields::StatusField;

/// What stands for an absent field.
pub(crate) const ABSENT: u64 = 0;

/// One agent's state as digests: what the server believes, or what is true.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct StateView {
    /// By [`StatusField::index`]; [`ABSENT`] where the field is missing.
    pub(crate) fields: [u64; StatusField::COUNT],
    /// Of the component map, which an agent sends only when it is asked for it.
    pub(crate) components: u64,
    /// As they are.
    pub(crate) capabilities: u64,
}

/// The digest of a field's bytes, always other than [`ABSENT`]. Malformed bytes count as they are,
/// so that they differ from everything valid.
pub(crate) fn of_field(field: StatusField, bytes: &[u8]) -> u64 {
    let canonical = match field {
        StatusField::AgentDescription => again::<AgentDescription>(bytes, |_| ()),
        StatusField::Health => again::<ComponentHealth>(bytes, forget_times),
        StatusField::EffectiveConfig => again::<EffectiveConfig>(bytes, |_| ()),
        StatusField::RemoteConfigStatus => again::<RemoteConfigStatus>(bytes, |_| ()),
        StatusField::PackageStatuses => again::<PackageStatuses>(bytes, |_| ()),
        StatusField::CustomCapabilities => again::<CustomCapabilities>(bytes, |_| ()),
        // The map comes and goes (see `of_components`); the hash names the content.
        StatusField::AvailableComponents => {
            again::<AvailableComponents>(bytes, |m| m.components.clear())
        }
        StatusField::ConnectionSettingsStatus => again::<ConnectionSettingsStatus>(bytes, |_| ()),
    };
    match canonical {
        Some(canonical) => hash(field.index(), &canonical),
        None => hash(usize::MAX, bytes),
    }
}

/// The digest of the component map of an `available_components` field; [`ABSENT`] if it is empty.
pub(crate) fn of_components(bytes: &[u8]) -> u64 {
    match AvailableComponents::decode(bytes) {
        Ok(message) if message.components.is_empty() => ABSENT,
        Ok(mut message) => {
            message.hash.clear();
            hash(StatusField::COUNT, &message.encode_to_vec())
        }
        Err(_) => hash(usize::MAX, bytes),
    }
}

fn again<M: Message + Default>(bytes: &[u8], adjust: impl FnOnce(&mut M)) -> Option<Vec<u8>> {
    let mut message = M::decode(bytes).ok()?;
    adjust(&mut message);
    Some(message.encode_to_vec())
}

/// prost bounds the depth of what it decodes (100), so this recursion is bounded too.
fn forget_times(health: &mut ComponentHealth) {
    health.status_time_unix_nano = 0;
    health.component_health_map.values_mut().for_each(forget_times);
}

fn hash(domain: usize, bytes: &[u8]) -> u64 {
    // Keys are fixed: server, workers and storm are the same program.
    let mut hasher = DefaultHasher::new();
    domain.hash(&mut hasher);
    bytes.hash(&mut hasher);
    hasher.finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Map entries of a `ComponentHealth`, encoded by hand so that their order can be chosen.
    fn health(order: &[u8], status: &str, time: u8) -> Vec<u8> {
        let mut out = vec![0x08, 1, 0x29, time, 0, 0, 0, 0, 0, 0, 0];
        for key in order {
            let mut inner = vec![0x22, u8::try_from(status.len()).unwrap()];
            inner.extend(status.as_bytes());
            inner.extend([0x29, time, 0, 0, 0, 0, 0, 0, 0]);
            let mut entry = vec![0x0a, 1, *key, 0x12, u8::try_from(inner.len()).unwrap()];
            entry.extend(inner);
            out.extend([0x32, u8::try_from(entry.len()).unwrap()]);
            out.extend(entry);
        }
        out
    }

    #[test]
    fn order_of_entries_and_status_times_do_not_count() {
        let first = of_field(StatusField::Health, &health(b"abc", "ok", 1));
        assert_eq!(first, of_field(StatusField::Health, &health(b"cab", "ok", 1)));
        assert_eq!(first, of_field(StatusField::Health, &health(b"bca", "ok", 9)));
    }

    #[test]
    fn every_change_counts() {
        let first = health(b"abc", "ok", 1);
        let digest = of_field(StatusField::Health, &first);
        assert_ne!(digest, of_field(StatusField::Health, &health(b"abd", "ok", 1)));
        assert_ne!(digest, of_field(StatusField::Health, &health(b"ab", "ok", 1)));
        assert_ne!(digest, of_field(StatusField::Health, &health(b"abc", "no", 1)));
        assert_ne!(digest, of_field(StatusField::Health, b""));
        assert_ne!(digest, of_field(StatusField::Health, b"not a message"));
        assert_ne!(of_field(StatusField::Health, b""), ABSENT);
        // Any one byte outside of a time.
        for position in [1, 12, 15, 19, 20] {
            let mut changed = first.clone();
            changed[position] ^= 1;
            assert_ne!(digest, of_field(StatusField::Health, &changed), "byte {position}");
        }
    }

    #[test]
    fn components_are_apart_from_their_hash() {
        let hash_only = AvailableComponents { hash: vec![7; 32], ..Default::default() };
        let mut both = hash_only.clone();
        both.components.insert("receivers".to_owned(), Default::default());
        let field = StatusField::AvailableComponents;
        assert_eq!(
            of_field(field, &hash_only.encode_to_vec()),
            of_field(field, &both.encode_to_vec())
        );
        assert_eq!(of_components(&hash_only.encode_to_vec()), ABSENT);
        assert_ne!(of_components(&both.encode_to_vec()), ABSENT);
    }
}
