//! The bytes of stored values: golden values that every later version must read, and what happens to
//! bytes that are strange.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::core::ownership::generate::{Dice, lease, node};
use crate::core::ownership::{
    CertificateFingerprint, Counter, Epoch, Figures, Home, Lease, MapVersion, NodeIncarnation,
    NodeName, Secret, SoftwareVersion,
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
        joined: MapVersion(2),
        address: Some(([10, 0, 0, 1], 4321).into()),
        fingerprint: CertificateFingerprint([0xfe; 32]),
        software: SoftwareVersion::new("0.1.0"),
        settings: 0x55aa,
        lone_speaks: true,
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
    let rest = "05302e312e3000000000000055aa010100000001000000020000000300000004000000050000000607";
    let fingerprint = "fe".repeat(32);
    let golden = format!("{head}{address}{fingerprint}{rest}");
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
    bytes.truncate(26 + "seawall-0".len());
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
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        drop((decode_lease(&bytes), decode_home(&bytes), decode_secret(&bytes)));
    }
}
