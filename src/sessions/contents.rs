//! The bytes of what one agent reported last, as far as the content store keeps them: what a server
//! gets that asks for the agent's full state. Rules are left to the session; digests are passed on as they come.

use std::cell::RefCell;

use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, Scratch, canonical_field};
use crate::opamp::field_set::{FieldSet, agent_field};
use crate::opamp::fields::{Field, fields};
use crate::opamp::splice;
use crate::store::{ContentSet, ContentStore, Scope};

/// The parts that have bytes: all but the last, capabilities, which are with the session.
const PLACES: [u32; agent_field::STATE_PARTS.len() - 1] = {
    let [places @ .., agent_field::CAPABILITIES] = agent_field::STATE_PARTS else {
        panic!("capabilities are the last part")
    };
    places
};

/// See the module. Costs a word until the agent's first report.
#[derive(Debug, Default)]
pub(super) struct Contents(Option<Box<ContentSet<{ PLACES.len() }>>>);

/// Space of the thread's for one agent's bytes.
#[derive(Debug, Default)]
pub(super) struct Space {
    /// For digests and canonical bytes.
    pub(super) digest: Scratch,
    value: Vec<u8>,
    part: Vec<u8>,
}

/// A buffer that one large agent made grow beyond this is given back.
const SPACE_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static SPACE: RefCell<Space> = RefCell::new(Space::default());
}

/// Lends out the thread's space, to one borrower at a time.
pub(super) fn with_space<T>(work: impl FnOnce(&mut Space) -> T) -> T {
    SPACE.with_borrow_mut(|space| {
        let done = work(space);
        for buffer in [&mut space.value, &mut space.part] {
            buffer.clear();
            if buffer.capacity() > SPACE_BYTES_MAX {
                *buffer = Vec::new();
            }
        }
        done
    })
}

impl Contents {
    /// Keeps these parts of a report, in place of what was kept of them.
    pub(super) fn store(
        &mut self,
        store: &ContentStore,
        scan: &AgentScan<'_>,
        parts: impl Iterator<Item = (u32, Digest)>,
        space: &mut Space,
    ) {
        for (number, digest) in parts {
            let Some(place) = PLACES.iter().position(|part| *part == number) else { continue };
            let put = |part: &[u8]| store.put(Scope::SHARED, digest, part);
            let kept = match space.digest.kept(scan.bytes, number) {
                Some(part) => put(part),
                None => read_part(scan, number, space, put),
            };
            self.0.get_or_insert_with(|| Box::new(store.set())).set(place, kept);
        }
        space.digest.forget_kept();
    }

    /// Whether the bytes of a part are stored.
    pub(super) fn has(&self, number: u32) -> bool {
        let place = PLACES.iter().position(|part| *part == number);
        let kept = self.0.as_ref();
        place.is_some_and(|place| kept.is_some_and(|kept| kept.is_stored(place)))
    }

    /// Hands out each part that is stored, in rising order.
    pub(super) fn for_each(&self, mut part: impl FnMut(u32, &[u8])) {
        let mut bytes = Vec::new();
        for (place, number) in PLACES.into_iter().enumerate() {
            bytes.clear();
            if self.0.as_ref().is_some_and(|kept| kept.append_to(place, &mut bytes)) {
                part(number, &bytes);
            }
        }
    }

    /// Keeps a part as [`Contents::for_each`] handed it out on another node.
    pub(super) fn restore(
        &mut self,
        store: &ContentStore,
        number: u32,
        digest: Digest,
        bytes: &[u8],
    ) {
        let Some(place) = PLACES.iter().position(|part| *part == number) else { return };
        let kept = store.put(Scope::SHARED, digest, bytes);
        self.0.get_or_insert_with(|| Box::new(store.set())).set(place, kept);
    }

    /// Appends the bytes of these parts to `out`, encoded fields of an AgentToServer, as far as they
    /// are stored. Returns the parts that are missing.
    pub(super) fn append(&self, parts: FieldSet, out: &mut Vec<u8>) -> FieldSet {
        let mut missing = FieldSet::EMPTY;
        for (place, number) in PLACES.into_iter().enumerate() {
            if !parts.contains(number) {
                continue;
            }
            if !self.0.as_ref().is_some_and(|kept| kept.append_to(place, out)) {
                missing.insert(number);
            }
        }
        missing
    }

    /// Forgets everything: the agent's process is a new one.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }
}

/// Lends `read` the bytes of one part: status fields in canonical form, so that agents share the bytes
/// whatever order their maps are in, and what the schema does not know as it stands.
fn read_part<T>(
    scan: &AgentScan<'_>,
    number: u32,
    space: &mut Space,
    read: impl Fn(&[u8]) -> T,
) -> T {
    let Space { digest, value, part } = space;
    value.clear();
    part.clear();
    let found = fields(scan.bytes).map_while(Result::ok);
    if number == FieldSet::OTHER {
        let unknown = |field: &Field| field.number > agent_field::CONNECTION_SETTINGS_STATUS;
        found.filter(unknown).for_each(|field| part.extend_from_slice(&scan.bytes[field.whole]));
        return read(part);
    }
    let mut occurrences = found.filter(|field| field.number == number);
    let Some(first) = occurrences.next() else { return read(part) };
    let mut whole = &scan.bytes[first.value.clone()];
    if let Some(second) = occurrences.next() {
        // One behind the other, encoded messages are merged as a decoder merges them.
        value.extend_from_slice(whole);
        let rest = std::iter::once(second).chain(occurrences);
        rest.for_each(|field| value.extend_from_slice(&scan.bytes[field.value]));
        whole = value;
    }
    canonical_field(number, whole, digest, &read).unwrap_or_else(|| {
        splice::field(number, whole, part);
        read(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opamp::proto::{AgentConfigFile, AgentConfigMap, AgentToServer, EffectiveConfig};
    use crate::store::StoreParams;
    use prost::Message;

    fn report(names: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for name in names {
            let file = AgentConfigFile { body: name.as_bytes().to_vec(), ..Default::default() };
            let config_map = std::iter::once(((*name).to_owned(), file)).collect();
            let config = EffectiveConfig { config_map: Some(AgentConfigMap { config_map }) };
            AgentToServer { effective_config: Some(config), ..Default::default() }
                .encode(&mut bytes)
                .unwrap();
        }
        bytes
    }

    fn keep(contents: &mut Contents, store: &ContentStore, bytes: &[u8], number: u32) {
        let scan = AgentScan::parse(bytes).unwrap();
        let part = std::iter::once((number, Digest([1; 16])));
        with_space(|space| contents.store(store, &scan, part, space));
    }

    #[test]
    fn a_field_that_stands_twice_is_stored_as_a_decoder_merges_it() {
        let store = ContentStore::new(StoreParams::default());
        let mut contents = Contents::default();
        let bytes = report(&["b", "a"]);
        keep(&mut contents, &store, &bytes, agent_field::EFFECTIVE_CONFIG);
        let mut out = Vec::new();
        let parts = FieldSet::of(&[agent_field::EFFECTIVE_CONFIG]);
        assert_eq!(contents.append(parts, &mut out), FieldSet::EMPTY);
        let kept = AgentToServer::decode(&out[..]).unwrap();
        assert_eq!(kept, AgentToServer::decode(&bytes[..]).unwrap());
        assert_eq!(fields(&out).count(), 1);
    }

    #[test]
    fn another_order_is_stored_once() {
        let store = ContentStore::new(StoreParams::default());
        let (mut one, mut other) = (Contents::default(), Contents::default());
        keep(&mut one, &store, &report(&["b", "a"]), agent_field::EFFECTIVE_CONFIG);
        keep(&mut other, &store, &report(&["a", "b"]), agent_field::EFFECTIVE_CONFIG);
        assert_eq!((store.figures().entries, store.figures().handles), (1, 2));
    }

    #[test]
    fn unknown_fields_are_stored_as_they_stand_and_what_is_missing_is_named() {
        let store = ContentStore::new(StoreParams::default());
        let mut contents = Contents::default();
        let unknown = [0xa0, 0x06, 1, 0xa2, 0x06, 1, 7];
        keep(&mut contents, &store, &unknown, FieldSet::OTHER);
        let mut out = Vec::new();
        let parts = FieldSet::of(&[FieldSet::OTHER, agent_field::HEALTH]);
        let missing = contents.append(parts, &mut out);
        assert_eq!((out, missing), (unknown.to_vec(), FieldSet::of(&[agent_field::HEALTH])));
        contents.clear();
        assert_eq!(store.figures().entries, 0);
    }
}
