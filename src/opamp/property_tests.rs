//! Scan, splice and offers against prost and naive oracles, on messages of every shape.

use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message;

use super::generate::{Choices, Schema};
use super::proto::{AgentToServer, ConnectionSettingsOffers, ServerToAgent};
use super::*;
use crate::ident::{InstanceUid, SequenceNum};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::read(env!("CARGO_MANIFEST_DIR")));

const UID: InstanceUid = InstanceUid::from_bytes(*b"0123456789abcdef");

/// The top level of AgentToServer as prost sees it when the fields stay undecoded.
#[derive(Clone, PartialEq, Message)]
struct ShallowAgent {
    #[prost(bytes = "vec", tag = "1")]
    instance_uid: Vec<u8>,
    #[prost(uint64, tag = "2")]
    sequence_num: u64,
    #[prost(bytes = "vec", repeated, tag = "3")]
    agent_description: Vec<Vec<u8>>,
    #[prost(uint64, tag = "4")]
    capabilities: u64,
    #[prost(bytes = "vec", repeated, tag = "5")]
    health: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    effective_config: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "7")]
    remote_config_status: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    package_statuses: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    agent_disconnect: Vec<Vec<u8>>,
    #[prost(uint64, tag = "10")]
    flags: u64,
    #[prost(bytes = "vec", repeated, tag = "11")]
    connection_settings_request: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "12")]
    custom_capabilities: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "13")]
    custom_message: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "14")]
    available_components: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "15")]
    connection_settings_status: Vec<Vec<u8>>,
}

/// The same of ServerToAgent.
#[derive(Clone, PartialEq, Message)]
struct ShallowServer {
    #[prost(bytes = "vec", tag = "1")]
    instance_uid: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    error_response: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    remote_config: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "4")]
    connection_settings: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "5")]
    packages_available: Vec<Vec<u8>>,
    #[prost(uint64, tag = "6")]
    flags: u64,
    #[prost(uint64, tag = "7")]
    capabilities: u64,
    #[prost(bytes = "vec", repeated, tag = "8")]
    agent_identification: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    command: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "10")]
    custom_capabilities: Vec<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "11")]
    custom_message: Vec<Vec<u8>>,
}

/// Bytes of a message of the schema.
fn message(name: &'static str) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..400)
        .prop_map(move |choices| SCHEMA.message(name, &mut Choices::new(&choices)))
}

/// A message with some bytes overwritten and cut somewhere, or random bytes.
fn damaged(name: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let noise = proptest::collection::vec(any::<u8>(), 0..40);
    let hits = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let cut = proptest::option::of(any::<prop::sample::Index>());
    let broken = (message(name), hits, cut).prop_map(|(mut bytes, hits, cut)| {
        for (index, byte) in hits {
            if !bytes.is_empty() {
                let place = index.index(bytes.len());
                bytes[place] = byte;
            }
        }
        bytes.truncate(cut.map_or(bytes.len(), |cut| cut.index(bytes.len() + 1)));
        bytes
    });
    prop_oneof![broken, noise]
}

/// Fields outside the schema of AgentToServer, as they stand.
fn unknown_fields(bytes: &[u8]) -> Vec<Vec<u8>> {
    fields(bytes)
        .map(Result::unwrap)
        .filter(|field| field.number > agent_field::CONNECTION_SETTINGS_STATUS)
        .map(|field| bytes[field.whole].to_vec())
        .collect()
}

fn present_by_prost(decoded: &AgentToServer) -> FieldSet {
    let fields = [
        (3, decoded.agent_description.is_some()),
        (5, decoded.health.is_some()),
        (6, decoded.effective_config.is_some()),
        (7, decoded.remote_config_status.is_some()),
        (8, decoded.package_statuses.is_some()),
        (9, decoded.agent_disconnect.is_some()),
        (11, decoded.connection_settings_request.is_some()),
        (12, decoded.custom_capabilities.is_some()),
        (13, decoded.custom_message.is_some()),
        (14, decoded.available_components.is_some()),
        (15, decoded.connection_settings_status.is_some()),
    ];
    FieldSet::of(&fields.iter().filter(|(_, is)| *is).map(|(n, _)| *n).collect::<Vec<_>>())
}

/// Reduces a message to the fields in `keep`, and uid, number and capabilities.
fn reduce(decoded: &mut AgentToServer, keep: FieldSet) {
    macro_rules! reduce {
        ($($number:ident => $field:ident),*) => {
            $(if !keep.contains(agent_field::$number) {
                decoded.$field = Default::default();
            })*
        };
    }
    reduce!(
        AGENT_DESCRIPTION => agent_description, HEALTH => health,
        EFFECTIVE_CONFIG => effective_config, REMOTE_CONFIG_STATUS => remote_config_status,
        PACKAGE_STATUSES => package_statuses, AGENT_DISCONNECT => agent_disconnect,
        FLAGS => flags, CONNECTION_SETTINGS_REQUEST => connection_settings_request,
        CUSTOM_CAPABILITIES => custom_capabilities, CUSTOM_MESSAGE => custom_message,
        AVAILABLE_COMPONENTS => available_components,
        CONNECTION_SETTINGS_STATUS => connection_settings_status
    );
}

/// The rule of merging, on decoded messages: what [`Offers`] does on bytes.
#[derive(Default)]
struct OffersOracle {
    merged: ServerToAgent,
    custom: Vec<proto::CustomMessage>,
}

impl OffersOracle {
    fn absorb(&mut self, message: ServerToAgent) {
        let into = &mut self.merged;
        macro_rules! replace {
            ($($field:ident),*) => {
                $(if message.$field.is_some() { into.$field = message.$field; })*
            };
        }
        replace!(error_response, remote_config, packages_available, agent_identification);
        replace!(command, custom_capabilities);
        into.flags |= message.flags;
        if message.capabilities != 0 {
            into.capabilities = message.capabilities;
        }
        self.custom.extend(message.custom_message);
        if let Some(settings) = message.connection_settings {
            merge_settings(into.connection_settings.get_or_insert_default(), settings);
        }
    }

    /// The messages that come out, given what is added to the first.
    fn take_all(mut self, flags: u64) -> Vec<ServerToAgent> {
        let addressed =
            ServerToAgent { instance_uid: UID.to_wire().to_vec(), ..Default::default() };
        let mut out = Vec::new();
        let error_response = self.merged.error_response.take();
        if error_response.is_some() {
            out.push(ServerToAgent { error_response, ..addressed.clone() });
        }
        let command = self.merged.command.take();
        let mut custom = self.custom.into_iter();
        // A command that waits alone goes before what is added to it; see `Offers::take`.
        let alone = command.is_some()
            && out.is_empty()
            && custom.len() == 0
            && self.merged == ServerToAgent::default();
        if alone {
            out.push(ServerToAgent { command, ..addressed.clone() });
        }
        self.merged.flags |= flags;
        let first = ServerToAgent {
            instance_uid: addressed.instance_uid.clone(),
            custom_message: custom.next(),
            ..self.merged
        };
        if first != addressed || out.is_empty() {
            out.push(first);
        }
        out.extend(
            custom.map(|message| ServerToAgent {
                custom_message: Some(message),
                ..addressed.clone()
            }),
        );
        if command.is_some() && !alone {
            out.push(ServerToAgent { command, ..addressed });
        }
        out
    }
}

fn merge_settings(into: &mut ConnectionSettingsOffers, from: ConnectionSettingsOffers) {
    if !from.hash.is_empty() {
        into.hash = from.hash;
    }
    into.opamp = from.opamp.or(into.opamp.take());
    into.own_metrics = from.own_metrics.or(into.own_metrics.take());
    into.own_traces = from.own_traces.or(into.own_traces.take());
    into.own_logs = from.own_logs.or(into.own_logs.take());
    into.other_connections.extend(from.other_connections);
}

fn take_all(offers: &mut Offers, flags: u64) -> Vec<ServerToAgent> {
    let mut additions = Additions { flags, ..Default::default() };
    let mut taken = Vec::new();
    loop {
        let mut out = Vec::new();
        let more = offers.take(UID, &additions, &mut out);
        taken.push(ServerToAgent::decode(&out[..]).unwrap());
        additions = Additions::default();
        if !more {
            assert!(offers.is_empty() && offers.bytes() == 0);
            return taken;
        }
    }
}

proptest! {
    #[test]
    fn an_agents_message_is_scanned_as_it_is_decoded(bytes in message("AgentToServer")) {
        let decoded = AgentToServer::decode(&bytes[..]).unwrap();
        let scan = AgentScan::parse(&bytes).unwrap();
        prop_assert_eq!(scan.uid, &decoded.instance_uid[..]);
        prop_assert_eq!(scan.sequence_num, SequenceNum(decoded.sequence_num));
        prop_assert_eq!(scan.capabilities, decoded.capabilities);
        prop_assert_eq!(scan.flags, decoded.flags);
        let scalars = agent_field::HEARTBEAT.union(FieldSet::of(&[FieldSet::OTHER]));
        prop_assert_eq!(scan.present.minus(scalars), present_by_prost(&decoded));
        let other = scan.present.contains(FieldSet::OTHER);
        prop_assert_eq!(other, !unknown_fields(&bytes).is_empty());
    }

    #[test]
    fn a_servers_message_is_scanned_as_it_is_decoded(bytes in message("ServerToAgent")) {
        let decoded = ServerToAgent::decode(&bytes[..]).unwrap();
        let shallow = ShallowServer::decode(&bytes[..]).unwrap();
        let scan = ServerScan::parse(&bytes).unwrap();
        prop_assert_eq!(scan.uid.unwrap_or_default(), &decoded.instance_uid[..]);
        prop_assert_eq!(scan.capabilities.unwrap_or_default(), decoded.capabilities);
        prop_assert_eq!(scan.flags, decoded.flags);
        prop_assert_eq!(scan.error().is_some(), decoded.error_response.is_some());
        let at = |range: &Option<std::ops::Range<usize>>| range.clone().map(|r| bytes[r].to_vec());
        prop_assert_eq!(at(&scan.custom_capabilities), shallow.custom_capabilities.last().cloned());
        prop_assert_eq!(at(&scan.command), shallow.command.last().cloned());
        if shallow.agent_identification.len() < 2 {
            let uid = decoded.agent_identification.unwrap_or_default().new_instance_uid;
            prop_assert_eq!(scan.new_instance_uid().unwrap_or_default(), uid);
        }
    }

    #[test]
    fn the_scan_fails_where_prost_fails(
        agent in damaged("AgentToServer"),
        server in damaged("ServerToAgent"),
    ) {
        let (scanned, decoded) = (AgentScan::parse(&agent), ShallowAgent::decode(&agent[..]));
        prop_assert_eq!(scanned.is_ok(), decoded.is_ok(), "{:?} {:?}", scanned, decoded);
        let (scanned, decoded) = (ServerScan::parse(&server), ShallowServer::decode(&server[..]));
        prop_assert_eq!(scanned.is_ok(), decoded.is_ok(), "{:?} {:?}", scanned, decoded);
    }

    #[test]
    fn a_splice_that_changes_nothing_is_the_same_message(
        agent in message("AgentToServer"),
        server in message("ServerToAgent"),
    ) {
        let scan = AgentScan::parse(&agent).unwrap();
        let mut out = Vec::new();
        splice::forward(&scan, scan.sequence_num, &mut out);
        prop_assert_eq!(&out, &agent);
        out.clear();
        splice::forward_fields(&scan, scan.present, scan.sequence_num, &mut out);
        let decoded = AgentToServer::decode(&agent[..]).unwrap();
        prop_assert_eq!(AgentToServer::decode(&out[..]).unwrap(), decoded);
        prop_assert_eq!(unknown_fields(&out), unknown_fields(&agent));
        out.clear();
        let scan = ServerScan::parse(&server).unwrap();
        splice::to_agent(&scan, UID, &Additions::default(), &mut out);
        let mut decoded = ServerToAgent::decode(&server[..]).unwrap();
        if decoded.instance_uid.is_empty() {
            decoded.instance_uid = UID.to_wire().to_vec();
        }
        prop_assert_eq!(ServerToAgent::decode(&out[..]).unwrap(), decoded);
    }

    #[test]
    fn a_splice_changes_what_it_says_alone(
        bytes in message("AgentToServer"),
        keep in proptest::collection::vec(1_u32..16, 0..8),
        number in any::<u64>(),
    ) {
        let scan = AgentScan::parse(&bytes).unwrap();
        let mut out = Vec::new();
        splice::forward(&scan, SequenceNum(number), &mut out);
        let mut expected = AgentToServer::decode(&bytes[..]).unwrap();
        expected.sequence_num = number;
        prop_assert_eq!(&AgentToServer::decode(&out[..]).unwrap(), &expected);
        prop_assert_eq!(unknown_fields(&out), unknown_fields(&bytes));
        out.clear();
        let keep = FieldSet::of(&keep);
        splice::forward_fields(&scan, keep, SequenceNum(number), &mut out);
        reduce(&mut expected, keep);
        prop_assert_eq!(&AgentToServer::decode(&out[..]).unwrap(), &expected);
        prop_assert_eq!(unknown_fields(&out), unknown_fields(&bytes));
    }

    #[test]
    fn additions_join_a_servers_message(
        bytes in message("ServerToAgent"),
        flags in any::<u64>(),
        capabilities in proptest::option::of(1_u64..100),
    ) {
        let additions = Additions { flags, capabilities, custom_capabilities: None };
        let scan = ServerScan::parse(&bytes).unwrap();
        let mut out = Vec::new();
        let carried = splice::to_agent(&scan, UID, &additions, &mut out);
        let mut expected = ServerToAgent::decode(&bytes[..]).unwrap();
        if expected.instance_uid.is_empty() {
            expected.instance_uid = UID.to_wire().to_vec();
        }
        if expected.error_response.is_none() && expected.command.is_none() {
            prop_assert!(carried);
            expected.flags |= flags;
            if expected.capabilities == 0 {
                expected.capabilities = capabilities.unwrap_or_default();
            }
        }
        prop_assert_eq!(ServerToAgent::decode(&out[..]).unwrap(), expected);
    }

    #[test]
    fn offers_come_out_as_the_oracle_merges_them(
        messages in proptest::collection::vec(message("ServerToAgent"), 0..6),
        flags in 0_u64..4,
    ) {
        let limits = OffersLimits { bytes_max: 1 << 20, custom_messages_max: 64 };
        let (mut offers, mut oracle) = (Offers::default(), OffersOracle::default());
        for bytes in messages {
            // Encoded again: an explicit default is a replacement on bytes, but not visible once
            // decoded.
            let decoded = ServerToAgent::decode(&bytes[..]).unwrap();
            let bytes = decoded.encode_to_vec();
            let absorbed = offers.absorb(&ServerScan::parse(&bytes).unwrap(), limits);
            prop_assert_eq!(absorbed, Absorbed::default());
            oracle.absorb(decoded);
        }
        prop_assert_eq!(take_all(&mut offers, flags), oracle.take_all(flags));
    }

    #[test]
    fn bounds_hold_and_nothing_goes_uncounted(
        messages in proptest::collection::vec(message("ServerToAgent"), 0..20),
        bytes_max in 0_usize..3000,
        custom_messages_max in 0_usize..4,
    ) {
        let limits = OffersLimits { bytes_max, custom_messages_max };
        let wide = OffersLimits { bytes_max: usize::MAX, custom_messages_max: 1 };
        let mut offers = Offers::default();
        let (mut largest, mut came, mut dropped) = (0, 0, 0);
        for bytes in &messages {
            let scan = ServerScan::parse(bytes).unwrap();
            let mut alone = Offers::default();
            alone.absorb(&scan, wide);
            largest = largest.max(alone.bytes());
            came += usize::from(scan.present.contains(server_field::CUSTOM_MESSAGE));
            dropped += offers.absorb(&scan, limits).dropped_custom as usize;
            prop_assert!(offers.bytes() <= bytes_max.max(largest));
        }
        let taken = take_all(&mut offers, 0);
        let left = taken.iter().filter(|message| message.custom_message.is_some()).count();
        prop_assert_eq!(left + dropped, came);
        prop_assert!(left <= custom_messages_max);
    }
}
