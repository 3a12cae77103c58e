//! Small contents, which are stored compressed: they read as they were put, and share, go and come back like
//! any others; and their references stay within bounds.

use super::fleet::{Mix, description, health};
use super::*;

fn roomy(bytes_max: usize) -> ContentStore {
    ContentStore::new(StoreParams { bytes_max, entries_max: 1000, shards: 4 })
}

/// Takes a use of a content with an honest digest.
fn put(store: &ContentStore, bytes: &[u8]) -> Content {
    store.put(Scope::SHARED, Digest(sha256(&[bytes])), bytes).unwrap()
}

/// What a content adds to the bytes stored.
fn added(store: &ContentStore, contents: &mut Vec<Content>, bytes: &[u8]) -> usize {
    let before = store.figures().bytes;
    contents.push(put(store, bytes));
    store.figures().bytes - before
}

/// A field that compression leaves as long as it is.
fn junk(seed: u64, length: usize) -> Vec<u8> {
    let mut mix = Mix::new(seed);
    let mut bytes: Vec<u8> =
        std::iter::repeat_with(|| mix.next().to_be_bytes()[0]).take(length).collect();
    bytes[0] = 3 << 3 | 2;
    bytes
}

/// A description of another sort of agent.
fn another_sort(sort: u64, index: u32) -> Vec<u8> {
    let mut bytes = junk(sort, 500);
    bytes[250..254].copy_from_slice(&index.to_be_bytes());
    bytes
}

fn assert_empty(store: &ContentStore) {
    let figures = store.figures();
    assert_eq!((figures.bytes, figures.entries, figures.handles), (0, 0, 0));
    assert_eq!(store.ledger.references_memory.load(Ordering::Relaxed), 0);
}

#[test]
fn what_differs_in_a_few_bytes_takes_little() {
    let store = roomy(1 << 20);
    let mut contents = Vec::new();
    for index in 0..100 {
        let (description, health) = (description(index), health(index));
        let raw = description.len() + health.len();
        let stored =
            added(&store, &mut contents, &description) + added(&store, &mut contents, &health);
        assert!(index == 0 || stored < raw / 3, "{stored} of {raw}");
    }
    for (index, pair) in (0..).zip(contents.chunks(2)) {
        assert_eq!(pair[0].bytes().unwrap(), description(index));
        let mut out = b"before".to_vec();
        assert!(pair[1].append_to(&mut out));
        assert_eq!(out, [b"before".to_vec(), health(index)].concat());
        assert!(put(&store, &health(index)).is_shared_with(&pair[1]));
    }
    drop(contents);
    assert_empty(&store);
}

#[test]
fn compressed_contents_are_shared_only_if_they_are_equal() {
    let store = roomy(1 << 20);
    let (first, second) = (description(1), description(2));
    let key = [7; 16];
    let address = Address { key, hash: 7, sharing: Sharing::Equal };
    // One address for two contents: an agent is unable to bring that about, and would gain little by it.
    let mine = store.store(address, &first).unwrap();
    let yours = store.store(address, &second).unwrap();
    assert!(!mine.is_shared_with(&yours));
    assert!(store.store(address, &first).unwrap().is_shared_with(&mine));
    assert!(store.store(address, &second).unwrap().is_shared_with(&yours));
    assert_eq!((mine.bytes().unwrap(), yours.bytes().unwrap()), (first.into(), second.into()));
    let figures = store.figures();
    assert_eq!((figures.stored, figures.shared, figures.handles), (2, 2, 2));
    drop((mine, yours));
    assert_empty(&store);
}

#[test]
fn evicted_compressed_contents_come_back() {
    const COUNT: u32 = 400;
    let store = roomy(30_000);
    let contents: Vec<_> = (0..COUNT).map(|index| put(&store, &description(index))).collect();
    let figures = store.figures();
    assert!(figures.bytes <= 30_000 && figures.evictions > 0);
    assert!(!contents[0].is_stored() && contents[399].is_stored());
    assert_eq!(contents[0].bytes(), None);
    for index in 0..COUNT {
        let again = put(&store, &description(index));
        assert!(again.is_shared_with(&contents[index as usize]));
        assert_eq!(contents[index as usize].bytes().unwrap(), description(index));
        assert!(store.figures().bytes <= 30_000);
    }
    assert_eq!(store.figures().revived, u64::from(COUNT));
    assert_eq!(store.figures().entries, COUNT as usize);
    drop(contents);
    assert_empty(&store);
}

#[test]
fn several_sorts_of_agents_are_served_side_by_side() {
    let store = roomy(1 << 20);
    let mut contents = Vec::new();
    for index in 0..100 {
        for sort in 0..4 {
            let stored = added(&store, &mut contents, &another_sort(sort, index));
            assert!(index == 0 || stored < 100, "{stored} of sort {sort}");
        }
    }
}

#[test]
fn a_reference_that_serves_badly_is_replaced() {
    let store = roomy(1 << 20);
    let mut contents = Vec::new();
    // All places are taken, and stay so.
    for sort in 0..4 {
        for index in 0..100 {
            added(&store, &mut contents, &another_sort(sort, index));
        }
    }
    let mut whole = 0;
    while added(&store, &mut contents, &another_sort(9, whole)) >= 500 {
        whole += 1;
        assert!(whole < 40, "never replaced");
    }
    // The last of them became the reference, and counts as one.
    assert_eq!(whole, 32);
    assert!(added(&store, &mut contents, &another_sort(9, 1000)) < 100);
    // What was compressed against the forgotten one reads as before.
    assert_eq!(contents[99].bytes().unwrap(), another_sort(0, 99));
    drop(contents);
    assert_empty(&store);
}

#[test]
fn references_take_no_more_than_the_budget() {
    const BYTES_MAX: usize = 64 << 10;
    let store = roomy(BYTES_MAX);
    let mut contents: Vec<Content> = Vec::new();
    // Always others, so that new references are made again and again, each kept alive by its content.
    for seed in 0..2_000 {
        contents.push(put(&store, &junk(seed, 4096)));
        contents.push(put(&store, &description(0)));
        assert!(store.figures().bytes <= BYTES_MAX);
        let memory = store.ledger.references_memory.load(Ordering::Relaxed);
        assert!(memory <= 2 * BYTES_MAX, "{memory} bytes of references");
        while contents.len() > 150 {
            contents.remove(usize::from(next(&mut (seed + 7))) % contents.len());
        }
    }
    drop(contents);
    assert_empty(&store);
}

/// Contents as agents may have them: alike, unlike, of every kind and length.
fn any_content() -> impl Strategy<Value = Vec<u8>> {
    let template = || {
        (0..3_u8, 0..5_000_usize).prop_map(|(sort, length)| {
            let mut bytes = junk(u64::from(sort), length.max(1));
            bytes[0] = sort << 3 | 2;
            bytes
        })
    };
    let edits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20);
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..5_000),
        1 => (any::<u8>(), 0..5_000_usize).prop_map(|(byte, length)| vec![byte; length]),
        4 => (template(), edits).prop_map(|(mut bytes, edits)| {
            edits.into_iter().for_each(|(at, byte)| {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            });
            bytes
        }),
        2 => (0..30_u32).prop_map(description),
        2 => (0..30_u32).prop_map(health),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn contents_read_as_they_were_put(
        puts in proptest::collection::vec(any_content(), 1..100),
        bytes_max in 5_000..200_000_usize,
        stay in 1..60_usize,
    ) {
        let store = ContentStore::new(StoreParams { bytes_max, entries_max: 1000, shards: 2 });
        let mut held: Vec<(Content, &[u8])> = Vec::new();
        for bytes in &puts {
            let content = put(&store, bytes);
            prop_assert_eq!(&content.bytes().unwrap(), bytes);
            for (other, own) in &held {
                prop_assert_eq!(content.is_shared_with(other), own == bytes);
            }
            held.push((content, bytes));
            if held.len() > stay {
                held.remove(0);
            }
            prop_assert!(store.figures().bytes <= bytes_max);
            for (content, own) in &held {
                prop_assert_eq!(content.bytes().is_some(), content.is_stored());
                if let Some(bytes) = content.bytes() {
                    prop_assert_eq!(&bytes, own);
                }
            }
        }
        drop(held);
        assert_empty(&store);
    }
}

/// Of a few sorts, so that references come and go, and large ones among them.
fn content_of(number: u8) -> Vec<u8> {
    match number % 6 {
        0 => junk(u64::from(number), 2_000),
        1 => junk(u64::from(number), 5_000),
        2 => another_sort(2, u32::from(number)),
        3 => health(u32::from(number)),
        _ => description(u32::from(number)),
    }
}

#[test]
fn many_threads_see_only_their_own_compressed_contents() {
    for bytes_max in [80_000, 10 << 20] {
        let store = ContentStore::new(StoreParams { bytes_max, entries_max: 1000, shards: 4 });
        std::thread::scope(|threads| {
            for seed in 0..8 {
                let store = &store;
                threads.spawn(move || hammer(store, seed, 2_000, content_of));
            }
        });
        assert_empty(&store);
    }
}

#[test]
fn a_set_holds_uses_as_handles_do() {
    let store = roomy(1 << 20);
    let (first, second) = (description(1), description(2));
    let mut set: ContentSet<2> = store.set();
    let mut out = Vec::new();
    assert!(!set.append_to(0, &mut out));

    set.set(0, Some(put(&store, &first)));
    set.set(1, Some(put(&store, &first)));
    assert_eq!((store.figures().entries, store.figures().handles), (1, 2));
    set.set(0, Some(put(&store, &second)));
    assert!(set.append_to(1, &mut out) && set.append_to(0, &mut out));
    assert_eq!(out, [first, second].concat());

    set.set(1, None);
    assert!(!set.append_to(1, &mut out));
    assert_eq!((store.figures().entries, store.figures().handles), (1, 1));
    drop(set);
    assert_empty(&store);
}
