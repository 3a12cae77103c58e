//! The store by hand, against a naive oracle, and from many threads.

mod fleet;
mod packed;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn store(bytes_max: usize) -> ContentStore {
    ContentStore::new(StoreParams { bytes_max, entries_max: 100, shards: 4 })
}

fn digest(number: u8) -> Digest {
    Digest([number; 16])
}

fn put(store: &ContentStore, number: u8, bytes: &[u8]) -> Content {
    store.put(Scope::SHARED, digest(number), bytes).unwrap()
}

#[test]
fn a_handle_is_small() {
    assert_eq!(size_of::<Content>(), 16);
    assert_eq!(size_of::<Option<Content>>(), 16);
}

#[test]
fn equal_contents_are_stored_once_and_go_with_their_last_user() {
    let store = store(1000);
    let first = put(&store, 1, b"content");
    let second = put(&store, 1, b"content");
    assert!(first.is_shared_with(&second));
    let third = second.clone();
    let figures = store.figures();
    assert_eq!((figures.entries, figures.handles, figures.bytes), (1, 3, 7));
    assert_eq!((figures.stored, figures.shared), (1, 1));
    drop((first, second));
    assert_eq!(third.bytes().unwrap(), "content");
    drop(third);
    let figures = store.figures();
    assert_eq!((figures.entries, figures.handles, figures.bytes), (0, 0, 0));
}

#[test]
fn nothing_is_shared_on_the_word_of_a_digest() {
    let store = store(1000);
    let (mine, yours) = (put(&store, 1, b"mine"), put(&store, 1, b"yours"));
    assert!(!mine.is_shared_with(&yours));
    assert_eq!((mine.bytes().unwrap(), yours.bytes().unwrap()), ("mine".into(), "yours".into()));
    // Each scope, and each digest, has a content of its own.
    let elsewhere = store.put(Scope::identity(b"a"), digest(1), b"mine").unwrap();
    assert!(!elsewhere.is_shared_with(&mine));
    assert!(!put(&store, 2, b"mine").is_shared_with(&mine));
}

#[test]
fn evicted_bytes_come_back_to_all_users_and_only_the_same_bytes() {
    let store = store(10);
    let (one, another) = (put(&store, 1, b"123456"), put(&store, 1, b"123456"));
    let newer = put(&store, 2, b"abcdef");
    assert_eq!((one.bytes(), another.bytes()), (None, None));
    assert!(!one.is_stored() && newer.is_stored());
    assert_eq!((store.figures().evictions, store.figures().entries_evicted), (1, 1));
    // The same digest and length, other bytes: an agent tries to put words into the others' mouths.
    let forged = put(&store, 1, b"666666");
    assert!(!forged.is_shared_with(&one) && !one.is_stored());
    let again = put(&store, 1, b"123456");
    assert!(again.is_shared_with(&one));
    assert_eq!(another.bytes().unwrap(), "123456");
    let figures = store.figures();
    assert_eq!((figures.revived, figures.bytes), (1, 6));
    assert!(!newer.append_to(&mut Vec::new()));
    drop((one, another, again, newer, forged));
    let figures = store.figures();
    assert_eq!((figures.entries, figures.entries_evicted, figures.bytes), (0, 0, 0));
}

#[test]
fn what_was_used_stays() {
    let store = store(20);
    let contents: Vec<_> = (0..4).map(|number| put(&store, number, &[number; 5])).collect();
    assert!(contents[0].append_to(&mut Vec::new()));
    put(&store, 1, &[1; 5]);
    let _more = put(&store, 9, &[9; 10]);
    let stored: Vec<_> = contents.iter().map(Content::is_stored).collect();
    assert_eq!(stored, [true, true, false, false]);
}

#[test]
fn what_is_too_large_is_refused() {
    let store = ContentStore::new(StoreParams { bytes_max: 10, entries_max: 2, shards: 1 });
    let small = put(&store, 1, b"small");
    assert!(store.put(Scope::SHARED, digest(2), &[0; 11]).is_none());
    assert!(small.is_stored(), "what is too large evicts no other content");
    let second = put(&store, 2, b"1234567");
    assert!(store.put(Scope::SHARED, digest(3), b"x").is_none());
    assert_eq!((store.figures().refused, store.figures().entries), (2, 2));
    // What has an entry may come back all the same.
    assert!(!small.is_stored());
    put(&store, 1, b"small");
    assert!(small.is_stored() && !second.is_stored());
}

#[test]
fn components_are_found_by_their_hash_within_a_scope() {
    let store = store(1000);
    let (a, b) = (Scope::identity(b"a"), Scope::identity(b"b"));
    assert!(store.find_components(a, b"hash").is_none());
    let first = store.put_components(a, b"hash", b"a map").unwrap();
    assert_eq!(store.find_components(a, b"hash").unwrap().bytes().unwrap(), "a map");
    assert!(store.find_components(b, b"hash").is_none());
    assert!(store.find_components(a, b"hasi").is_none());
    // In another order, for example: the first stays.
    let second = store.put_components(a, b"hash", b"map a").unwrap();
    assert!(second.is_shared_with(&first));
    // Another identity's claim to the hash leaves them as they are.
    let poison = store.put_components(b, b"hash", b"poison").unwrap();
    assert_eq!(second.bytes().unwrap(), "a map");
    assert_eq!(poison.bytes().unwrap(), "poison");
    drop((first, second));
    assert!(store.find_components(a, b"hash").is_none());
    assert_eq!(store.figures().misses, 4);
}

#[test]
fn components_that_had_to_go_are_replaced_under_their_hash() {
    let store = store(10);
    let scope = Scope::identity(b"a");
    let first = store.put_components(scope, b"hash", b"a map").unwrap();
    let _other = put(&store, 1, b"1234567890");
    assert!(store.find_components(scope, b"hash").is_none());
    let second = store.put_components(scope, b"hash", b"map a").unwrap();
    assert!(second.is_shared_with(&first));
    assert_eq!(first.bytes().unwrap(), "map a");
}

/// What can be done to a store; numbers choose contents, names and handles.
#[derive(Debug, Clone)]
enum StoreStep {
    Put { scope: u8, digest: u8, content: u8 },
    PutComponents { scope: u8, hash: u8, content: u8 },
    Find { scope: u8, hash: u8 },
    Clone(prop::sample::Index),
    Drop(prop::sample::Index),
    Read(prop::sample::Index),
}

fn step() -> impl Strategy<Value = StoreStep> {
    prop_oneof![
        4 => (0..2_u8, 0..3_u8, 0..6_u8)
            .prop_map(|(scope, digest, content)| StoreStep::Put { scope, digest, content }),
        2 => (0..2_u8, 0..3_u8, 0..6_u8)
            .prop_map(|(scope, hash, content)| StoreStep::PutComponents { scope, hash, content }),
        1 => (0..2_u8, 0..3_u8).prop_map(|(scope, hash)| StoreStep::Find { scope, hash }),
        1 => any::<prop::sample::Index>().prop_map(StoreStep::Clone),
        3 => any::<prop::sample::Index>().prop_map(StoreStep::Drop),
        2 => any::<prop::sample::Index>().prop_map(StoreStep::Read),
    ]
}

/// Contents of different lengths, an empty one among them.
fn bytes_of(content: u8) -> Vec<u8> {
    vec![content; usize::from(content) * 4]
}

/// A content as the oracle sees it: its name, and whose bytes it has.
#[derive(Debug, Clone)]
struct ModelEntry {
    is_components: bool,
    scope: u8,
    name: u8,
    content: u8,
    used_at: Option<usize>,
}

/// The store as a list that is searched from end to end.
#[derive(Debug, Default)]
struct StoreOracle {
    entries: Vec<ModelEntry>,
    /// For each handle the number of its entry.
    handles: Vec<usize>,
    figures: ContentFigures,
    now: usize,
    limits: (usize, usize),
}

impl StoreOracle {
    fn tick(&mut self) -> Option<usize> {
        self.now += 1;
        Some(self.now)
    }

    fn is_live(&self, entry: usize) -> bool {
        self.handles.contains(&entry)
    }

    fn bytes(&self) -> usize {
        let stored = self.live().filter(|entry| entry.used_at.is_some());
        stored.map(|entry| bytes_of(entry.content).len()).sum()
    }

    fn live(&self) -> impl Iterator<Item = &ModelEntry> {
        let live: BTreeSet<_> = self.handles.iter().copied().collect();
        live.into_iter().map(|entry| &self.entries[entry])
    }

    fn insert(&mut self, new: ModelEntry) -> bool {
        let named = |own: &ModelEntry| {
            (own.is_components, own.scope, own.name) == (new.is_components, new.scope, new.name)
        };
        let same =
            |own: &ModelEntry| named(own) && (new.is_components || own.content == new.content);
        let found = (0..self.entries.len())
            .find(|entry| self.is_live(*entry) && same(&self.entries[*entry]));
        if let Some(entry) = found
            && self.entries[entry].used_at.is_some()
        {
            self.entries[entry].used_at = self.tick();
            self.figures.shared += 1;
            self.handles.push(entry);
            return true;
        }
        let bytes = bytes_of(new.content).len();
        let (bytes_max, entries_max) = self.limits;
        // Something evicted under the same name may be the same: it is let through and added.
        let evicted = (0..self.entries.len()).any(|entry| {
            self.is_live(entry)
                && named(&self.entries[entry])
                && self.entries[entry].used_at.is_none()
                && self.entries[entry].content == new.content
        }) || found.is_some();
        if bytes > bytes_max || self.live().count() >= entries_max && !evicted {
            self.figures.refused += 1;
            return false;
        }
        while self.bytes() + bytes > bytes_max {
            let stored = (0..self.entries.len())
                .filter(|entry| self.is_live(*entry) && self.entries[*entry].used_at.is_some());
            let oldest = stored.min_by_key(|entry| self.entries[*entry].used_at).unwrap();
            self.entries[oldest].used_at = None;
            self.figures.evictions += 1;
        }
        let used_at = self.tick();
        let entry = if let Some(entry) = found {
            self.figures.revived += 1;
            self.entries[entry] = ModelEntry { used_at, ..new };
            entry
        } else {
            self.figures.stored += 1;
            self.entries.push(ModelEntry { used_at, ..new });
            self.entries.len() - 1
        };
        self.handles.push(entry);
        true
    }

    fn find(&mut self, scope: u8, hash: u8) -> bool {
        let found = (0..self.entries.len()).find(|index| {
            let own = &self.entries[*index];
            let named = own.is_components && (own.scope, own.name) == (scope, hash);
            named && own.used_at.is_some() && self.is_live(*index)
        });
        match found {
            Some(entry) => {
                self.entries[entry].used_at = self.tick();
                self.handles.push(entry);
                self.figures.hits += 1;
            }
            None => self.figures.misses += 1,
        }
        found.is_some()
    }

    fn read(&mut self, handle: usize) -> Option<Vec<u8>> {
        let entry = self.handles[handle];
        if self.entries[entry].used_at.is_none() {
            self.figures.misses += 1;
            return None;
        }
        self.entries[entry].used_at = self.tick();
        self.figures.hits += 1;
        Some(bytes_of(self.entries[entry].content))
    }

    fn figures(&self) -> ContentFigures {
        ContentFigures {
            bytes: self.bytes(),
            entries: self.live().count(),
            entries_evicted: self.live().filter(|entry| entry.used_at.is_none()).count(),
            handles: self.handles.len(),
            ..self.figures
        }
    }
}

fn apply(
    step: StoreStep,
    store: &ContentStore,
    handles: &mut Vec<Content>,
    oracle: &mut StoreOracle,
) {
    let scope_of = |scope: u8| if scope == 0 { Scope::SHARED } else { Scope::identity(&[scope]) };
    let pick = |index: prop::sample::Index, oracle: &StoreOracle| {
        (!oracle.handles.is_empty()).then(|| index.index(oracle.handles.len()))
    };
    match step {
        StoreStep::Put { scope, digest: name, content } => {
            let stored = store.put(scope_of(scope), digest(name), &bytes_of(content));
            let entry = ModelEntry { is_components: false, scope, name, content, used_at: None };
            assert_eq!(stored.is_some(), oracle.insert(entry));
            handles.extend(stored);
        }
        StoreStep::PutComponents { scope, hash, content } => {
            let stored = store.put_components(scope_of(scope), &[hash], &bytes_of(content));
            let entry =
                ModelEntry { is_components: true, scope, name: hash, content, used_at: None };
            assert_eq!(stored.is_some(), oracle.insert(entry));
            handles.extend(stored);
        }
        StoreStep::Find { scope, hash } => {
            let found = store.find_components(scope_of(scope), &[hash]);
            assert_eq!(found.is_some(), oracle.find(scope, hash));
            handles.extend(found);
        }
        StoreStep::Clone(index) => {
            let Some(index) = pick(index, oracle) else { return };
            handles.push(handles[index].clone());
            oracle.handles.push(oracle.handles[index]);
        }
        StoreStep::Drop(index) => {
            let Some(index) = pick(index, oracle) else { return };
            handles.swap_remove(index);
            oracle.handles.swap_remove(index);
        }
        StoreStep::Read(index) => {
            let Some(index) = pick(index, oracle) else { return };
            let bytes = handles[index].bytes().map(Vec::from);
            assert_eq!(bytes, oracle.read(index));
        }
    }
}

proptest! {
    #[test]
    fn the_store_does_what_the_oracle_does(
        steps in proptest::collection::vec(step(), 0..200),
        bytes_max in 0..60_usize,
        entries_max in 1..12_usize,
        shards in 1..9_usize,
    ) {
        let store = ContentStore::new(StoreParams { bytes_max, entries_max, shards });
        let mut oracle = StoreOracle { limits: (bytes_max, entries_max), ..StoreOracle::default() };
        let mut handles = Vec::new();
        for step in steps {
            apply(step, &store, &mut handles, &mut oracle);
            let figures = ContentFigures { memory: 0, ..store.figures() };
            prop_assert_eq!(figures, oracle.figures());
            prop_assert!(store.figures().bytes <= bytes_max);
            for (index, handle) in handles.iter().enumerate() {
                let entry = oracle.handles[index];
                prop_assert_eq!(handle.is_stored(), oracle.entries[entry].used_at.is_some());
                for (other, also) in handles.iter().zip(&oracle.handles) {
                    prop_assert_eq!(handle.is_shared_with(other), entry == *also);
                }
            }
        }
        drop(handles);
        let figures = store.figures();
        prop_assert_eq!((figures.bytes, figures.entries, figures.entries_evicted), (0, 0, 0));
    }
}

/// A thread's next number; it may be predictable.
fn next(state: &mut u64) -> u8 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    state.to_be_bytes()[0]
}

fn hammer(store: &ContentStore, seed: u64, rounds: usize, bytes_of: fn(u8) -> Vec<u8>) {
    let mut state = seed;
    let mut handles: Vec<(u8, Content)> = Vec::new();
    let scope = Scope::identity(b"one");
    for _ in 0..rounds {
        let content = next(&mut state) % 24;
        match next(&mut state) % 8 {
            0..3 => {
                let stored = store.put(Scope::SHARED, digest(content % 3), &bytes_of(content));
                handles.push((content, stored.unwrap()));
            }
            3 => {
                let stored = store.put_components(scope, &[content], &bytes_of(content));
                handles.push((content, stored.unwrap()));
            }
            4 => {
                let found = store.find_components(scope, &[content]);
                handles.extend(found.map(|found| (content, found)));
            }
            _ if handles.is_empty() => {}
            5 => {
                let (content, handle) = &handles[usize::from(content) % handles.len()];
                if let Some(bytes) = handle.bytes() {
                    assert_eq!(bytes, bytes_of(*content));
                }
            }
            6 => {
                let (content, handle) = &handles[usize::from(content) % handles.len()];
                handles.push((*content, handle.clone()));
            }
            _ => {
                // Now and then all at once, so that contents come and go.
                let remaining = if content == 0 { 0 } else { handles.len() - 1 };
                handles.truncate(remaining);
            }
        }
        if handles.len() > 40 {
            handles.drain(..20);
        }
    }
}

#[test]
fn many_threads_see_only_their_own_contents() {
    for bytes_max in [200, 400, 10_000] {
        let store = ContentStore::new(StoreParams { bytes_max, entries_max: 1000, shards: 4 });
        std::thread::scope(|threads| {
            for seed in 0..8 {
                let store = &store;
                threads.spawn(move || hammer(store, seed, 20_000, bytes_of));
            }
        });
        let figures = store.figures();
        assert_eq!((figures.bytes, figures.entries, figures.handles), (0, 0, 0));
        assert_eq!(figures.entries_evicted, 0);
        assert!(figures.stored > 0 && figures.shared > 0, "{figures:?}");
        assert_eq!(figures.evictions > 0, bytes_max < 10_000, "{figures:?}");
    }
}
