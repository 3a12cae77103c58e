//! Digests against prost's understanding of messages of every shape.

use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message;

use super::shuffle::shuffle;
use super::tests::canonical;
use super::*;
use crate::opamp::generate::{Choices, Schema};
use crate::opamp::proto;

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::read(env!("CARGO_MANIFEST_DIR")));

/// The status fields: number, type, and what decoding and encoding makes of a value.
type Recode = fn(&[u8]) -> Option<Vec<u8>>;
static FIELDS: [(u32, &str, Recode); 8] = [
    (3, "AgentDescription", recode::<proto::AgentDescription>),
    (5, "ComponentHealth", recode::<proto::ComponentHealth>),
    (6, "EffectiveConfig", recode::<proto::EffectiveConfig>),
    (7, "RemoteConfigStatus", recode::<proto::RemoteConfigStatus>),
    (8, "PackageStatuses", recode::<proto::PackageStatuses>),
    (12, "CustomCapabilities", recode::<proto::CustomCapabilities>),
    (14, "AvailableComponents", recode::<proto::AvailableComponents>),
    (15, "ConnectionSettingsStatus", recode::<proto::ConnectionSettingsStatus>),
];

fn recode<M: Message + Default>(bytes: &[u8]) -> Option<Vec<u8>> {
    M::decode(bytes).ok().map(|message| message.encode_to_vec())
}

/// A value of one of the status fields, as bytes of the schema.
fn status() -> impl Strategy<Value = (usize, Vec<u8>)> {
    let choices = proptest::collection::vec(any::<u8>(), 0..300);
    (0..FIELDS.len(), choices).prop_map(|(index, choices)| {
        (index, SCHEMA.message(FIELDS[index].1, &mut Choices::new(&choices)))
    })
}

fn choices() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..200)
}

fn digest(number: u32, value: &[u8]) -> Digest {
    Digester::default().field(number, value, &mut Scratch::default())
}

fn report(bytes: &[u8]) -> Vec<(u32, Digest)> {
    let mut found = Vec::new();
    let scan = AgentScan::parse(bytes).unwrap();
    let scratch = &mut Scratch::default();
    Digester::default().report(&scan, scratch, |number, digest| found.push((number, digest)));
    found
}

/// What counts of a value, by prost: apart from times of observation, and from components whose hash is
/// there.
fn counts(number: u32, value: &[u8]) -> Option<Vec<u8>> {
    match number {
        5 => {
            let mut health = proto::ComponentHealth::decode(value).ok()?;
            set_times(&mut health, &mut |_| 0);
            Some(health.encode_to_vec())
        }
        14 => {
            let mut components = proto::AvailableComponents::decode(value).ok()?;
            if !components.hash.is_empty() {
                components.components.clear();
            }
            Some(components.encode_to_vec())
        }
        _ => FIELDS.iter().find(|(own, ..)| *own == number)?.2(value),
    }
}

fn set_times(health: &mut proto::ComponentHealth, time: &mut impl FnMut(u64) -> u64) {
    health.status_time_unix_nano = time(health.status_time_unix_nano);
    health.component_health_map.values_mut().for_each(|inner| set_times(inner, time));
}

proptest! {
    #[test]
    fn another_encoding_has_the_same_digest((index, value) in status(), choices in choices()) {
        let (number, name, recode) = FIELDS[index];
        let other = shuffle(&SCHEMA, name, &value, &mut Choices::new(&choices));
        prop_assert_eq!(recode(&other), recode(&value), "the shuffle itself");
        prop_assert_eq!(digest(number, &other), digest(number, &value));
        prop_assert_eq!(canonical(number, &other), canonical(number, &value));
    }

    #[test]
    fn decoding_and_encoding_keeps_the_digest((index, value) in status(), choices in choices()) {
        let (number, name, recode) = FIELDS[index];
        // Encoded once, the message is free of unknown fields, which prost drops.
        let value = recode(&value).unwrap();
        let other = shuffle(&SCHEMA, name, &value, &mut Choices::new(&choices));
        prop_assert_eq!(digest(number, &recode(&other).unwrap()), digest(number, &other));
    }

    #[test]
    fn canonical_bytes_are_the_same_message((index, value) in status()) {
        let (number, _, recode) = FIELDS[index];
        let bytes = canonical(number, &value).unwrap();
        prop_assert!(bytes.len() <= value.len());
        prop_assert_eq!(recode(&bytes), recode(&value));
        prop_assert_eq!(digest(number, &bytes), digest(number, &value));
        prop_assert_eq!(canonical(number, &bytes), Some(bytes));
    }

    #[test]
    fn any_change_that_counts_changes_the_digest(
        (index, value) in status(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        choices in choices(),
    ) {
        let (number, name, recode) = FIELDS[index];
        let value = recode(&value).unwrap();
        let another = SCHEMA.message(name, &mut Choices::new(&choices));
        let mut hit = value.clone();
        if !hit.is_empty() {
            let place = place.index(hit.len());
            hit[place] = byte;
        }
        for changed in [another, hit] {
            // Components that their hash stands for stay opaque, and may be malformed.
            let is_read = number != 14 || counts(number, &changed).is_some();
            if is_read && counts(number, &changed) != counts(number, &value) {
                prop_assert_ne!(digest(number, &changed), digest(number, &value));
            }
        }
    }

    #[test]
    fn a_change_anywhere_is_seen_however_it_is_encoded(
        (index, value) in status(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        choices in choices(),
    ) {
        // Unknown fields included: prost skips them, so canonical bytes are compared instead, which
        // are an encoding of all that is there.
        let (number, name, recode) = FIELDS[index];
        let mut hit = value.clone();
        if !hit.is_empty() {
            let place = place.index(hit.len());
            hit[place] = byte;
        }
        if recode(&hit).is_some() && canonical(number, &hit) != canonical(number, &value) {
            let other = shuffle(&SCHEMA, name, &hit, &mut Choices::new(&choices));
            let none = Digester { volatile: Volatile::NONE, ..Digester::default() };
            let digest = |value: &[u8]| none.field(number, value, &mut Scratch::default());
            if number != 14 {
                prop_assert_ne!(digest(&other), digest(&value));
            }
        }
    }

    #[test]
    fn times_of_observation_do_not_count(value in choices(), times in choices()) {
        let bytes = SCHEMA.message("ComponentHealth", &mut Choices::new(&value));
        let mut health = proto::ComponentHealth::decode(&bytes[..]).unwrap();
        let bytes = health.encode_to_vec();
        let mut times = Choices::new(&times);
        set_times(&mut health, &mut |time| time.wrapping_add(times.below(3) as u64));
        let later = health.encode_to_vec();
        prop_assert_eq!(digest(5, &later), digest(5, &bytes));
        let strict = Digester { volatile: Volatile::NONE, ..Digester::default() };
        let mut scratch = Scratch::default();
        let same = strict.field(5, &later, &mut scratch) == strict.field(5, &bytes, &mut scratch);
        prop_assert_eq!(same, later == bytes);
    }

    #[test]
    fn a_report_has_the_digests_of_its_fields(value in choices(), choices in choices()) {
        let bytes = SCHEMA.message("AgentToServer", &mut Choices::new(&value));
        let other = shuffle(&SCHEMA, "AgentToServer", &bytes, &mut Choices::new(&choices));
        prop_assert_eq!(report(&other), report(&bytes));
        let decoded = proto::AgentToServer::decode(&bytes[..]).unwrap();
        let encoded = decoded.encode_to_vec();
        let mut expected = Vec::new();
        for field in fields(&encoded).map(Result::unwrap) {
            if FIELDS.iter().any(|(number, ..)| *number == field.number) {
                expected.push((field.number, digest(field.number, &encoded[field.value])));
            }
        }
        expected.push((4, Digester::default().number(4, decoded.capabilities)));
        expected.sort_by_key(|(number, _)| *number);
        prop_assert_eq!(report(&encoded), expected);
    }

    #[test]
    fn what_is_kept_of_a_report_is_what_a_pass_of_its_own_makes(
        values in proptest::collection::vec((choices(), choices()), 1..4),
        noise in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut scratch = Scratch::default();
        for (value, choices) in values {
            let bytes = SCHEMA.message("AgentToServer", &mut Choices::new(&value));
            let mut bytes = shuffle(&SCHEMA, "AgentToServer", &bytes, &mut Choices::new(&choices));
            // Opaque, most likely; of the components only what their hash stands for.
            prost::encoding::bytes::encode(5, &noise, &mut bytes);
            let mut components = vec![0x12, 1, 7];
            prost::encoding::bytes::encode(1, &noise, &mut components);
            prost::encoding::bytes::encode(14, &components, &mut bytes);
            let scan = AgentScan::parse(&bytes).unwrap();
            let mut found = Vec::new();
            Digester::default()
                .report_to_store(&scan, &mut scratch, |number, digest| found.push((number, digest)));
            prop_assert_eq!(&found, &report(&bytes));
            for (number, ..) in FIELDS {
                let came = fields(&bytes).map(Result::unwrap).filter(|field| field.number == number);
                let value: Vec<u8> = came.flat_map(|field| bytes[field.value].to_vec()).collect();
                let own = canonical_field(number, &value, &mut Scratch::default(), <[u8]>::to_vec);
                let own = own.filter(|_| found.iter().any(|(there, _)| *there == number));
                prop_assert_eq!(scratch.kept(&bytes, number).map(<[u8]>::to_vec), own, "{}", number);
            }
            prop_assert!(scratch.kept(&bytes[..bytes.len() - 1], 5).is_none());
        }
        scratch.forget_kept();
        prop_assert!(scratch.kept(&[], 5).is_none());
    }

    #[test]
    fn bytes_without_sense_have_a_digest(
        (index, mut value) in status(),
        noise in proptest::collection::vec(any::<u8>(), 0..60),
        place in any::<prop::sample::Index>(),
    ) {
        let number = FIELDS[index].0;
        let place = place.index(value.len() + 1);
        let end = value.len().min(place + noise.len());
        value.splice(place..end, noise.clone());
        for bytes in [value, noise] {
            prop_assert!(canonical(number, &bytes).is_none_or(|own| own.len() <= bytes.len()));
            digest(number, &bytes);
            components_hash(&bytes);
            if let Ok(scan) = AgentScan::parse(&bytes) {
                Digester::default().report(&scan, &mut Scratch::default(), |_, _| {});
                report_hash(&DigestKey::default(), &scan);
            }
        }
    }
}
