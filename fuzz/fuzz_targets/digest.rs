//! All bytes that an agent may report have digests; two encodings of one message have the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use seawall::opamp::digest::{
    Digester, Scratch, canonical_field, components_hash, has_components, report_hash,
};
use seawall::opamp::{AgentScan, fields, header, proto};

fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else { return };
    report(header::strip(bytes));
    match choice % 8 {
        0 => field::<proto::AgentDescription>(3, bytes),
        1 => field::<proto::ComponentHealth>(5, bytes),
        2 => field::<proto::EffectiveConfig>(6, bytes),
        3 => field::<proto::RemoteConfigStatus>(7, bytes),
        4 => field::<proto::PackageStatuses>(8, bytes),
        5 => field::<proto::CustomCapabilities>(12, bytes),
        6 => field::<proto::AvailableComponents>(14, bytes),
        _ => field::<proto::ConnectionSettingsStatus>(15, bytes),
    }
});

fn field<M: Message + Default>(number: u32, bytes: &[u8]) {
    let digester = Digester::default();
    let mut scratch = Scratch::default();
    let digest = digester.field(number, bytes, &mut scratch);
    let Some(canonical) = canonical_value(number, bytes, &mut scratch) else { return };
    assert!(canonical.len() <= bytes.len());
    assert_eq!(digest, digester.field(number, &canonical, &mut scratch));
    // Canonical bytes are their own canonical bytes, and to a decoder the same message.
    assert_eq!(canonical_value(number, &canonical, &mut scratch).as_ref(), Some(&canonical));
    let Ok(decoded) = M::decode(bytes) else { return };
    let encoded = M::decode(&canonical[..]).expect("the same message").encode_to_vec();
    // Compared as bytes, because a double may be NaN, which differs from itself.
    assert_eq!(encoded, decoded.encode_to_vec());
}

/// The canonical bytes of a field, its tag and length taken off.
fn canonical_value(number: u32, value: &[u8], scratch: &mut Scratch) -> Option<Vec<u8>> {
    canonical_field(number, value, scratch, |field| {
        let found = fields(field).next().expect("a field").expect("a well-formed field");
        assert_eq!((found.number, found.whole.end), (number, field.len()));
        field[found.value].to_vec()
    })
}

fn report(bytes: &[u8]) {
    components_hash(bytes);
    has_components(bytes);
    let Ok(scan) = AgentScan::parse(bytes) else { return };
    let digester = Digester::default();
    let mut last = None;
    digester.report(&scan, &mut Scratch::default(), |number, _| {
        assert!(last < Some(number), "in rising order, each once");
        last = Some(number);
    });
    assert!(last.is_some());
    report_hash(&digester.key, &scan);
}
