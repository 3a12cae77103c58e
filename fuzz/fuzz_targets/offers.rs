//! Waiting offers: within their bounds, nothing lost uncounted, and what comes out is what the last
//! message of each kind said. Messages come from the schema's generator, and raw bytes in between.
#![no_main]

#[path = "../../src/opamp/generate.rs"]
mod generate;

use std::sync::LazyLock;

use generate::{Choices, Schema};
use libfuzzer_sys::{Corpus, fuzz_target};
use prost::Message;
use seawall::ident::InstanceUid;
use seawall::opamp::proto::ServerToAgent;
use seawall::opamp::{Additions, Offers, OffersLimits, ServerScan, server_field};

static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| Schema::read(concat!(env!("CARGO_MANIFEST_DIR"), "/..")));

const UID: InstanceUid = InstanceUid::from_bytes(*b"0123456789abcdef");

/// Bytes of the input for each message: its choices, or the message itself.
const CHOICES_BYTES: usize = 48;
/// Longer inputs show the same, and cost the time of many short ones.
const INPUT_BYTES_MAX: usize = 2 + 8 * CHOICES_BYTES;

/// Takes one message out; says whether more is left and whether a custom message was in it.
fn take(offers: &mut Offers, out: &mut Vec<u8>) -> (bool, bool) {
    out.clear();
    let more = offers.take(UID, &Additions::default(), out);
    let scan = ServerScan::parse(out).expect("what comes out is a message");
    (more, scan.present.contains(server_field::CUSTOM_MESSAGE))
}

/// The offers that stand in a message which decodes, encoded, because a double may differ from itself.
fn offered(bytes: &[u8]) -> Option<[Option<Vec<u8>>; 2]> {
    let decoded = ServerToAgent::decode(bytes).ok()?;
    Some([
        decoded.remote_config.map(|offer| offer.encode_to_vec()),
        decoded.packages_available.map(|offer| offer.encode_to_vec()),
    ])
}

fuzz_target!(|data: &[u8]| -> Corpus {
    if data.len() > INPUT_BYTES_MAX {
        return Corpus::Reject;
    }
    let Some((&[bytes_max, custom_messages_max], rest)) = data.split_first_chunk::<2>() else {
        return Corpus::Reject;
    };
    let limits = OffersLimits {
        bytes_max: usize::from(bytes_max) * 64,
        custom_messages_max: usize::from(custom_messages_max % 8),
    };
    let mut offers = Offers::default();
    let mut out = Vec::new();
    let (mut largest, mut came, mut dropped, mut went) = (0, 0, 0, 0);
    // What the next messages out must offer; `None` once something unclear has come.
    let mut expected = Some([None, None]);
    for part in rest.chunks(CHOICES_BYTES) {
        let made;
        let bytes = match part {
            [0, raw @ ..] => raw,
            [1, ..] => {
                went += usize::from(take(&mut offers, &mut out).1);
                expected = None;
                continue;
            }
            choices => {
                made = SCHEMA.message("ServerToAgent", &mut Choices::new(choices));
                &made
            }
        };
        let Ok(scan) = ServerScan::parse(bytes) else { continue };
        let mut alone = Offers::default();
        alone.absorb(&scan, OffersLimits { bytes_max: usize::MAX, custom_messages_max: 1 });
        largest = largest.max(alone.bytes());
        came += usize::from(scan.present.contains(server_field::CUSTOM_MESSAGE));
        let absorbed = offers.absorb(&scan, limits);
        dropped += absorbed.dropped_custom as usize;
        assert!(offers.bytes() <= limits.bytes_max.max(largest));
        expected = match (expected, offered(bytes)) {
            (Some([config, packages]), Some([newer_config, newer_packages]))
                if absorbed.dropped_offers == 0 =>
            {
                Some([newer_config.or(config), newer_packages.or(packages)])
            }
            _ => None,
        };
    }
    let mut seen = Some([None, None]);
    loop {
        let (more, custom) = take(&mut offers, &mut out);
        went += usize::from(custom);
        seen = seen.zip(offered(&out)).map(|([config, packages], [then_config, then_packages])| {
            [then_config.or(config), then_packages.or(packages)]
        });
        if !more {
            break;
        }
    }
    assert!(offers.is_empty() && offers.bytes() == 0);
    assert_eq!(went + dropped, came);
    if let Some(expected) = expected {
        assert_eq!(seen.expect("decodable messages came in"), expected);
    }
    Corpus::Keep
});
