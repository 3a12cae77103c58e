//! The bytes of stored values: golden values that every later version must read, and what happens to
//! bytes that are strange.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::core::ownership::generate::{Dice, call, lease, node};
use crate::core::ownership::{
    CertificateFingerprint, Change, ChangeAnswer, ChangeRefusal, Counter, Epoch, Figures, Home,
    HomeChange, Lease, MapVersion, NODES_MAX, NodeIncarnation, NodeName, Registry, RunId, Secret,
    ShardId, Snapshot, SoftwareVersion, StoreAnswer, StoreCall,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn golden_lease() -> Lease {
    Lease {
        name: NodeName::try_new("seawall-0").unwrap(),
        incarnation: NodeIncarnation::new(0x0123_4567_89ab_cdef).unwrap(),
        counter: Counter(7),
        read: MapVersion(3),
        run: RunId(0x1234),
        joined: MapVersion(2),
        address: Some(([10, 0, 0, 1], 4321).into()),
        fingerprint: CertificateFingerprint([0xfe; 32]),
        software: SoftwareVersion::new("0.1.0"),
        settings: 0x55aa,
        lone_speaks: true,
        leaving: true,
        format: 1,
        figures: Figures {
            connected: 1,
            absent: 2,
            waiting: 3,
            rate: 4,
            need: 5,
            told_until: Duration::from_millis(6),
            overload: 7,
        },
    }
}

#[test]
fn every_version_reads_these_values() {
    let head = "0100000000000000070123456789abcdef00000000000000030973656177616c6c2d30";
    let address = "0000000000000002040a00000110e1";
    let run = "00000000000000000000000000001234";
    let rest = "05302e312e3000000000000055aa030100000001000000020000000300000004000000050000000607";
    let fingerprint = "fe".repeat(32);
    let golden = format!("{head}{run}{address}{fingerprint}{rest}");
    assert_eq!(hex(&encode_lease(&golden_lease())), golden);
    let epoch = Epoch { number: 9, taker: node(1) };
    let home = encode_home(StoredHome::Home(Home { node: node(2), epoch }));
    assert_eq!(hex(&home), "01000000000000000900000000000002008000000000000300");
    let vacant = encode_home(StoredHome::Vacant(epoch));
    assert_eq!(hex(&vacant), "01000000000000000900000000000002000000000000000000");
    let secret = encode_secret(&Secret { id: 1, key: [0xab; 32] });
    assert_eq!(hex(&secret), format!("010000000000000001{}", "ab".repeat(32)));
}

#[test]
fn every_version_reads_these_calls_and_answers() {
    assert_eq!(hex(&encode_call(&StoreCall::Read)), "0100");
    let shard = ShardId::new(0x3ff).unwrap();
    let epoch = Epoch { number: 9, taker: node(1) };
    let new = Some(Home { node: node(0), epoch });
    let homes = vec![HomeChange { shard, read: Some(epoch), new }];
    let (still, remove) = (vec![(node(1), Counter(7))], vec![node(1)]);
    let change = Change { by: node(1), still, remove, add: None, homes };
    let (one, epoch) = ("0000000000000200", "00000000000000090000000000000200");
    let golden = format!(
        "0102{one}0001{one}00000000000000070001{one}0000000103ff01{epoch}01{epoch}8000000000000100"
    );
    assert_eq!(hex(&encode_call(&StoreCall::Change(Box::new(change)))), golden);
    let (run, why) = (RunId(0xab), ChangeRefusal::LeftBehind(shard));
    let refused = encode_answer(&StoreAnswer::Change(ChangeAnswer::Refused { run, why }));
    assert_eq!(hex(&refused), format!("0105{:032x}08{:016x}", 0xab, 0x3ff));
}

#[test]
fn the_largest_call_and_answer_are_within_their_bounds() {
    let name = NodeName::try_new(&"a".repeat(NodeName::BYTES_MAX)).unwrap();
    let software = SoftwareVersion::new(&"1".repeat(SoftwareVersion::BYTES_MAX));
    let address = Some((std::net::Ipv6Addr::LOCALHOST, 1).into());
    let lease = Lease { name, software, address, ..golden_lease() };
    let home = Home { node: node(1), epoch: Epoch { number: 1, taker: node(1) } };
    let homes =
        ShardId::all().map(|shard| HomeChange { shard, read: Some(home.epoch), new: Some(home) });
    let change = Change {
        by: node(1),
        still: vec![(node(1), Counter(1)); NODES_MAX],
        remove: vec![node(1); NODES_MAX],
        add: Some(lease.clone()),
        homes: homes.collect(),
    };
    let bytes = encode_call(&StoreCall::Change(Box::new(change))).len();
    assert!((50_000..CALL_BYTES_MAX).contains(&bytes), "{bytes}");
    let snapshot = Snapshot {
        leases: vec![lease; NODES_MAX],
        secret: Some(Secret { id: 1, key: [1; 32] }),
        homes: ShardId::all().map(|shard| (shard, home)).collect(),
        ..Registry::new(RunId(1)).read()
    };
    let bytes = encode_answer(&StoreAnswer::Read(Box::new(snapshot))).len();
    assert!((80_000..ANSWER_BYTES_MAX).contains(&bytes), "{bytes}");
}

#[test]
fn what_a_later_version_adds_is_passed_over() {
    let mut bytes = encode_lease(&golden_lease());
    bytes.extend([1, 2, 3]);
    assert_eq!(decode_lease(&bytes), Ok(StoredLease::Known(Box::new(golden_lease()))));
    let home = StoredHome::Vacant(Epoch { number: 9, taker: node(1) });
    let mut bytes = encode_home(home).to_vec();
    bytes.push(1);
    assert_eq!(decode_home(&bytes), Ok(home));
}

#[test]
fn of_a_later_format_the_head_is_read() {
    let mut bytes = encode_lease(&golden_lease());
    bytes[0] = FORMAT + 1;
    // Behind the head everything may be different.
    bytes.truncate(42 + "seawall-0".len());
    assert_eq!(decode_lease(&bytes), Ok(StoredLease::Unknown(golden_lease().head())));
    assert_eq!(decode_secret(&[FORMAT + 1]), Ok(None));
    let home = StoredHome::Vacant(Epoch { number: 9, taker: node(1) });
    let mut bytes = encode_home(home);
    bytes[0] = FORMAT + 1;
    assert_eq!(decode_home(&bytes), Ok(home));
}

#[test]
fn strange_bytes_say_what_is_wrong() {
    assert_eq!(decode_home(&[]), Err(ValueFault::Ends));
    assert_eq!(decode_home(&[0; 25]), Err(ValueFault::Field("format")));
    assert_eq!(
        decode_home(&[[1].as_slice(), &[0; 24]].concat()),
        Err(ValueFault::Field("incarnation"))
    );
    let long = vec![1; VALUE_BYTES_MAX + 1];
    assert_eq!(decode_lease(&long), Err(ValueFault::TooLong(VALUE_BYTES_MAX + 1)));
    let mut shouting = encode_lease(&golden_lease());
    shouting[26] = b'S';
    assert_eq!(decode_lease(&shouting), Err(ValueFault::Field("name")));
}

#[test]
fn a_value_cut_anywhere_is_refused() {
    let whole = encode_lease(&golden_lease());
    for end in 0..whole.len() {
        assert_eq!(decode_lease(&whole[..end]), Err(ValueFault::Ends), "{end}");
    }
    assert!(whole.len() < 300);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn leases_come_out_as_they_went_in(seed: u64, number: u64) {
        let lease = lease(&mut Dice(seed), node(number % 1_000));
        let read = decode_lease(&encode_lease(&lease));
        prop_assert_eq!(read, Ok(StoredLease::Known(Box::new(lease))));
    }

    #[test]
    fn calls_and_answers_come_out_as_they_went_in(seed: u64, cut: prop::sample::Index) {
        let mut dice = Dice(seed);
        let mut registry = Registry::new(RunId(seed.into()));
        for _ in 0..30 {
            let call = call(&mut dice, &registry.read());
            let bytes = encode_call(&call);
            prop_assert_eq!(decode_call(&bytes), Ok(call.clone()));
            prop_assert_eq!(decode_call(&bytes[..cut.index(bytes.len())]), Err(ValueFault::Ends));
            let mut answer = registry.apply(&call);
            if let StoreAnswer::Read(snapshot) = &mut answer {
                snapshot.unreadable = vec![lease(&mut dice, node(9)).head()];
            }
            let bytes = encode_answer(&answer);
            prop_assert_eq!(decode_answer(&bytes), Ok(answer));
            prop_assert_eq!(decode_answer(&bytes[..cut.index(bytes.len())]), Err(ValueFault::Ends));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        drop((decode_lease(&bytes), decode_home(&bytes), decode_secret(&bytes)));
        drop((decode_call(&bytes), decode_answer(&bytes)));
    }
}
