//! Which server, and which of its links, an agent's messages go to: rendezvous hashing.
//!
//! Every node must come to the same answer from the same list of names, in every version: the
//! hash is spelt out here and held by golden values, and it depends on a server's *name*, wherever the
//! server stands in the list. Taking a server away moves exactly its own agents.

use crate::ident::InstanceUid;

/// A server's part of the hash, computed once from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64);

impl Seed {
    /// FNV-1a over the name's bytes.
    pub fn of_name(name: &str) -> Self {
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self(hash)
    }
}

/// The finaliser of `SplitMix64`: every bit of the input moves half the bits of the output.
pub(super) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The weight of one server for one agent: the highest wins.
pub fn weight(uid: InstanceUid, seed: Seed) -> u64 {
    let bits = u128::from_be_bytes(*uid.as_bytes());
    #[allow(clippy::cast_possible_truncation)] // the two halves, on purpose
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    mix(mix(high ^ seed.0).wrapping_add(mix(low ^ seed.0.rotate_left(32))))
}

/// The candidate with the highest weight; `None` of an empty list. A tie, which 64 bits
/// make a curiosity, goes to the first.
pub fn choose(uid: InstanceUid, candidates: impl Iterator<Item = (usize, Seed)>) -> Option<usize> {
    let mut best: Option<(u64, usize)> = None;
    for (index, seed) in candidates {
        let weight = weight(uid, seed);
        if best.is_none_or(|(highest, _)| weight > highest) {
            best = Some((weight, index));
        }
    }
    best.map(|(_, index)| index)
}

/// The server an agent belongs to: by weight among the servers in use; if all are out of use, among all,
/// so that each agent is where it will be when they return. `servers`: each with whether it is in use.
pub fn place(
    uid: InstanceUid,
    servers: impl Iterator<Item = (Seed, bool)> + Clone,
) -> Option<usize> {
    let all = servers.enumerate();
    let in_use = all.clone().filter(|(_, (_, in_use))| *in_use);
    choose(uid, in_use.map(|(index, (seed, _))| (index, seed)))
        .or_else(|| choose(uid, all.map(|(index, (seed, _))| (index, seed))))
}

/// Which of a fixed number of links an agent uses. The number stays the same while a node runs,
/// so a remainder does what rendezvous would; `links` of zero counts as one.
pub fn link_of(uid: InstanceUid, links: u16) -> u16 {
    /// Keeps the choice of link independent of the choice of server.
    const LINK_SEED: Seed = Seed(0x6c69_6e6b_6c69_6e6b);
    let index = weight(uid, LINK_SEED) % u64::from(links.max(1));
    u16::try_from(index).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uid(n: u32) -> InstanceUid {
        let mut bytes = [0; 16];
        bytes[12..].copy_from_slice(&n.to_be_bytes());
        InstanceUid::from_bytes(bytes)
    }

    fn name_of(n: u32, names: &[&str]) -> String {
        let seeds = names.iter().map(|name| Seed::of_name(name)).enumerate();
        names[choose(uid(n), seeds).unwrap()].to_owned()
    }

    #[test]
    fn the_same_on_every_node_and_version() {
        let weights =
            [(1, "a"), (2, "opamp-1")].map(|(n, name)| weight(uid(n), Seed::of_name(name)));
        assert_eq!(format!("{weights:x?}"), "[8b02635c65a4f16e, 2e7417b66c8fdd81]");
        let links = [0, 1, 2, 3, 4, 5, 6, 7].map(|n| link_of(uid(n), 4));
        assert_eq!(format!("{links:?}"), "[2, 2, 1, 0, 1, 2, 2, 2]");
    }

    #[test]
    fn a_server_that_leaves_moves_only_its_own() {
        for n in 0..2_000 {
            let before = name_of(n, &["a", "b", "c"]);
            let after = name_of(n, &["c", "a"]);
            assert!(before == after || before == "b", "agent {n} moved from {before} to {after}");
        }
    }

    #[test]
    fn agents_are_placed_on_servers_in_use_as_long_as_there_is_one() {
        let seeds = ["a", "b", "c"].map(Seed::of_name);
        let placed = |n, in_use: [bool; 3]| place(uid(n), seeds.into_iter().zip(in_use)).unwrap();
        for n in 0..200 {
            let home = placed(n, [true; 3]);
            assert_eq!(placed(n, [false; 3]), home, "where it will be when they return");
            let mut others = [true; 3];
            others[home] = false;
            assert_ne!(placed(n, others), home);
        }
        assert_eq!(place(uid(1), std::iter::empty()), None);
    }

    #[test]
    fn servers_and_links_share_evenly() {
        let mut servers = std::collections::BTreeMap::<String, u32>::new();
        let mut links = [0_u32; 4];
        for n in 0..12_000 {
            *servers.entry(name_of(n, &["a", "b", "c"])).or_default() += 1;
            if name_of(n, &["a", "b", "c"]) == "a" {
                links[usize::from(link_of(uid(n), 4))] += 1;
            }
        }
        assert!(servers.values().all(|n| (3_800..4_200).contains(n)), "{servers:?}");
        // Among one server's agents the links are still even: the two choices are independent.
        assert!(links.iter().all(|n| (880..1_120).contains(n)), "{links:?}");
    }

    #[test]
    fn an_empty_list_has_no_choice() {
        assert_eq!(choose(uid(1), std::iter::empty()), None);
        assert_eq!(link_of(uid(1), 0), 0);
    }
}
