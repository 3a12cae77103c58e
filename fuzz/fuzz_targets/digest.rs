//! All bytes that an agent may report have digests; two encodings of one message have the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use seawall::opamp::digest::{
    Digester, Scratch, append_canonical, components_hash, has_components, report_hash,
};
use seawall::opamp::{AgentScan, header, proto};

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
    let (mut scratch, mut canonical) = (Scratch::default(), Vec::new());
    let is_canonical = append_canonical(number, bytes, &mut scratch, &mut canonical);
    assert!(canonical.len() <= bytes.len());
    assert!(is_canonical || canonical == bytes);
    let digest = digester.field(number, bytes, &mut scratch);
    assert_eq!(digest, digester.field(number, &canonical, &mut scratch));
    if !is_canonical {
        return;
    }
    // Canonical bytes are their own canonical bytes, and to a decoder the same message.
    let mut again = Vec::new();
    assert!(append_canonical(number, &canonical, &mut scratch, &mut again));
    assert_eq!(again, canonical);
    let Ok(decoded) = M::decode(bytes) else { return };
    let encoded = M::decode(&canonical[..]).expect("the same message").encode_to_vec();
    // Compared as bytes, because a double may be NaN, which differs from itself.
    assert_eq!(encoded, decoded.encode_to_vec());
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
