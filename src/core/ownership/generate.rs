//! Random calls to the store, for tests: most of them make sense in the state that they are made for, the
//! rest are late, wrong or impossible. Tests of the stores include this file as well.

use std::time::Duration;

use super::{
    CertificateFingerprint, Change, Counter, Epoch, Figures, Home, HomeChange, Lease, MapVersion,
    NodeIncarnation, NodeName, Renew, Secret, ShardId, Snapshot, SoftwareVersion, StoreCall,
};

/// Random numbers, the same for the same seed: `SplitMix64`.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `sides`.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % sides
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.roll(256)).expect("256 sides")
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn any<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let sides = u64::try_from(of.len()).ok().filter(|sides| *sides > 0)?;
        of.get(usize::try_from(self.roll(sides)).ok()?)
    }
}

/// How many nodes and shards the calls are about: few, so that they meet.
const NODES: u64 = 5;
const SHARDS_USED: u64 = 6;

/// The node of this number: numbers with the highest bit and with zero bytes in them.
pub(super) fn node(number: u64) -> NodeIncarnation {
    let high = if number.is_multiple_of(2) { 1 << 63 } else { 0 };
    NodeIncarnation::new((number + 1) << 8 | high).expect("1 and up, shifted, is no zero")
}

/// A lease of this node. Some nodes share a name.
pub(super) fn lease(dice: &mut Dice, incarnation: NodeIncarnation) -> Lease {
    let name = format!("node-{}", (incarnation.get() & 0xffff) >> 9);
    let address = match dice.roll(3) {
        0 => None,
        1 => Some(([127, 0, 0, 1], 4_000).into()),
        _ => Some((std::net::Ipv6Addr::LOCALHOST, 65_535).into()),
    };
    Lease {
        name: NodeName::try_new(&name).expect("the name is made of allowed characters"),
        incarnation,
        counter: Counter(dice.roll(4)),
        read: MapVersion(dice.roll(4)),
        joined: MapVersion(dice.roll(4)),
        address,
        fingerprint: CertificateFingerprint([dice.byte(); 32]),
        software: SoftwareVersion::new("0.1.0"),
        settings: dice.roll(u64::MAX),
        lone_speaks: dice.one_in(2),
        format: 1,
        figures: Figures {
            connected: u32::try_from(dice.roll(1 << 32)).expect("that many sides"),
            told_until: Duration::from_millis(dice.roll(60_000)),
            overload: dice.byte(),
            ..Figures::default()
        },
    }
}

/// A call for this state.
pub(super) fn call(dice: &mut Dice, state: &Snapshot) -> StoreCall {
    match dice.roll(10) {
        0 => StoreCall::Read,
        1..=4 => StoreCall::Renew(Box::new(renew(dice, state))),
        _ => StoreCall::Change(Box::new(change(dice, state))),
    }
}

fn renew(dice: &mut Dice, state: &Snapshot) -> Renew {
    let incarnation = node(dice.roll(NODES));
    let mut own = lease(dice, incarnation);
    if let Some(stored) = state.leases.iter().find(|lease| lease.incarnation == incarnation)
        && !dice.one_in(5)
    {
        own.counter = stored.counter.next();
        own.read = state.version;
    }
    if dice.one_in(10) {
        own.read = MapVersion(state.version.0 + dice.roll(3));
    }
    let count = if dice.one_in(4) { dice.roll(4) } else { 0 };
    let restore = (0..count).map(|_| (shard(dice), epoch(dice, 6))).collect();
    let secret = dice.one_in(3).then(|| Secret { id: dice.roll(u64::MAX), key: [dice.byte(); 32] });
    Renew { lease: own, restore, rejoin: dice.one_in(6), secret }
}

fn shard(dice: &mut Dice) -> ShardId {
    let number = dice.roll(SHARDS_USED) * 204;
    u16::try_from(number).ok().and_then(ShardId::new).expect("5 * 204 is below 1,024")
}

/// An epoch with a low number, or with one that needs all of its bytes.
fn epoch(dice: &mut Dice, below: u64) -> Epoch {
    let high = if dice.one_in(30) { dice.roll(3) << 31 } else { 0 };
    Epoch { number: dice.roll(below) + high, taker: node(dice.roll(NODES)) }
}

fn change(dice: &mut Dice, state: &Snapshot) -> Change {
    let members: Vec<_> = state.leases.iter().map(|lease| lease.incarnation).collect();
    let joins = members.is_empty() || dice.one_in(4);
    let add = joins.then(|| {
        let joiner = node(dice.roll(NODES));
        lease(dice, joiner)
    });
    let mut by = add.as_ref().map(|lease| lease.incarnation);
    if by.is_none() || dice.one_in(4) {
        by = dice.any(&members).copied();
    }
    if dice.one_in(12) {
        by = Some(node(dice.roll(NODES)));
    }
    let victim = dice.any(&state.leases).filter(|_| dice.one_in(3));
    let still = victim.filter(|_| !dice.one_in(4)).map(|victim| {
        let late = u64::from(dice.one_in(4));
        (victim.incarnation, Counter(victim.counter.0 + late))
    });
    let victim = victim.map(|victim| victim.incarnation);
    let mut homes = Vec::new();
    // A proper change moves each shard of the node that it removes.
    if !dice.one_in(6) {
        let left = state.homes.iter().filter(|(_, home)| Some(home.node) == victim);
        for (shard, home) in left {
            homes.push(home_change(dice, *shard, Some(home.epoch), &members));
        }
    }
    for _ in 0..dice.roll(3) {
        let shard = shard(dice);
        let stored = state.homes.get(&shard).map(|home| home.epoch);
        let stored = stored.or_else(|| state.vacant.get(&shard).copied());
        homes.push(home_change(dice, shard, stored, &members));
    }
    Change {
        by: by.unwrap_or_else(|| node(0)),
        still: still.into_iter().collect(),
        remove: victim.into_iter().collect(),
        add,
        homes,
    }
}

fn home_change(
    dice: &mut Dice,
    shard: ShardId,
    stored: Option<Epoch>,
    members: &[NodeIncarnation],
) -> HomeChange {
    let read = if dice.one_in(8) { Some(epoch(dice, 5)) } else { stored };
    let node = dice.any(members).copied().unwrap_or_else(|| node(0));
    let wrong = u64::from(dice.one_in(10));
    let number = read.map_or(0, |read| read.number) + 1 - wrong;
    let new = (!dice.one_in(5)).then_some(Home { node, epoch: Epoch { number, taker: node } });
    HomeChange { shard, read, new }
}
