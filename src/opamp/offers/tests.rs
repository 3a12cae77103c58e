//! Offers: what comes out means what went in, and bounds hold.

use prost::Message;

use super::*;
use crate::opamp::proto::{
    AgentRemoteConfig, ConnectionSettingsOffers, CustomCapabilities, CustomMessage,
    OpAmpConnectionSettings, OtherConnectionSettings, PackagesAvailable, ServerErrorResponse,
    ServerToAgent, ServerToAgentCommand, TelemetryConnectionSettings,
};

const UID: InstanceUid = InstanceUid::from_bytes(*b"0123456789abcdef");
const WIDE: OffersLimits = OffersLimits { bytes_max: 1 << 20, custom_messages_max: 64 };

fn absorb(offers: &mut Offers, message: &ServerToAgent, limits: OffersLimits) -> Absorbed {
    let bytes = message.encode_to_vec();
    offers.absorb(&ServerScan::parse(&bytes).unwrap(), limits)
}

fn take_all(offers: &mut Offers, first: &Additions<'_>) -> Vec<ServerToAgent> {
    let later = Additions::default();
    let mut messages = Vec::new();
    loop {
        let additions = if messages.is_empty() { first } else { &later };
        let mut out = Vec::new();
        let more = offers.take(UID, additions, &mut out);
        messages.push(ServerToAgent::decode(&out[..]).unwrap());
        if !more {
            assert!(offers.is_empty());
            assert_eq!(offers.bytes(), 0);
            return messages;
        }
    }
}

fn config(hash: &[u8]) -> ServerToAgent {
    ServerToAgent {
        remote_config: Some(AgentRemoteConfig { config: None, config_hash: hash.to_vec() }),
        ..Default::default()
    }
}

fn custom(name: &str) -> ServerToAgent {
    let message = CustomMessage { r#type: name.to_owned(), ..Default::default() };
    ServerToAgent { custom_message: Some(message), ..Default::default() }
}

fn addressed() -> ServerToAgent {
    ServerToAgent { instance_uid: UID.to_wire().to_vec(), ..Default::default() }
}

#[test]
fn the_latest_of_each_kind_goes_in_one_message() {
    let mut offers = Offers::default();
    absorb(&mut offers, &ServerToAgent { flags: 1, capabilities: 7, ..config(b"old") }, WIDE);
    let packages = ServerToAgent {
        packages_available: Some(PackagesAvailable::default()),
        flags: 2,
        ..Default::default()
    };
    absorb(&mut offers, &packages, WIDE);
    absorb(&mut offers, &config(b"new"), WIDE);
    let capabilities = CustomCapabilities { capabilities: vec!["x".to_owned()] };
    let value = capabilities.encode_to_vec();
    let additions =
        Additions { flags: 0, capabilities: Some(1), custom_capabilities: Some(&value) };
    let expected = ServerToAgent {
        flags: 3,
        capabilities: 7,
        packages_available: packages.packages_available,
        custom_capabilities: Some(capabilities),
        remote_config: config(b"new").remote_config,
        ..addressed()
    };
    assert_eq!(take_all(&mut offers, &additions), [expected]);
}

#[test]
fn connection_settings_merge_one_level_down() {
    let settings =
        |settings| ServerToAgent { connection_settings: Some(settings), ..Default::default() };
    let other = |endpoint: &str| OtherConnectionSettings {
        destination_endpoint: endpoint.to_owned(),
        ..Default::default()
    };
    let first = ConnectionSettingsOffers {
        hash: b"1".to_vec(),
        opamp: Some(OpAmpConnectionSettings {
            destination_endpoint: "ws://a".to_owned(),
            heartbeat_interval_seconds: 9,
            ..Default::default()
        }),
        own_logs: Some(TelemetryConnectionSettings::default()),
        other_connections: [("a", "1"), ("b", "2")].map(|(k, v)| (k.to_owned(), other(v))).into(),
        ..Default::default()
    };
    let second = ConnectionSettingsOffers {
        hash: b"2".to_vec(),
        opamp: Some(OpAmpConnectionSettings {
            destination_endpoint: "ws://b".to_owned(),
            ..Default::default()
        }),
        other_connections: [("b", "3"), ("c", "4")].map(|(k, v)| (k.to_owned(), other(v))).into(),
        ..Default::default()
    };
    let mut offers = Offers::default();
    absorb(&mut offers, &settings(first.clone()), WIDE);
    absorb(&mut offers, &settings(second.clone()), WIDE);
    let merged = ConnectionSettingsOffers {
        own_logs: first.own_logs,
        other_connections: [("a", "1"), ("b", "3"), ("c", "4")]
            .map(|(k, v)| (k.to_owned(), other(v)))
            .into(),
        ..second
    };
    let expected = ServerToAgent { connection_settings: Some(merged), ..addressed() };
    assert_eq!(take_all(&mut offers, &Additions::default()), [expected]);
    // An empty offer is an offer.
    absorb(&mut offers, &settings(ConnectionSettingsOffers::default()), WIDE);
    assert!(!offers.is_empty());
}

#[test]
fn malformed_settings_are_counted_and_spoil_nothing() {
    let mut offers = Offers::default();
    absorb(&mut offers, &config(b"new"), WIDE);
    for inside in [&[0x22, 2, 0x12, 9][..], &[0x22, 4, 0x32, 2, 0x08, 1], &[0x22, 2, 0x30, 1]] {
        let absorbed = offers.absorb(&ServerScan::parse(inside).unwrap(), WIDE);
        assert_eq!(absorbed, Absorbed { malformed: 1, ..Default::default() });
    }
    let expected = ServerToAgent { remote_config: config(b"new").remote_config, ..addressed() };
    assert_eq!(take_all(&mut offers, &Additions::default()), [expected]);
}

#[test]
fn errors_first_commands_last_custom_messages_in_order() {
    let mut offers = Offers::default();
    let command =
        ServerToAgent { command: Some(ServerToAgentCommand::default()), ..Default::default() };
    let error = ServerToAgent {
        error_response: Some(ServerErrorResponse::default()),
        ..Default::default()
    };
    for message in [&command, &custom("1"), &custom("2"), &error] {
        absorb(&mut offers, message, WIDE);
    }
    let additions = Additions { flags: 1, ..Default::default() };
    let uid = addressed().instance_uid;
    assert_eq!(
        take_all(&mut offers, &additions),
        [
            ServerToAgent { instance_uid: uid.clone(), ..error },
            ServerToAgent { instance_uid: uid.clone(), flags: 1, ..custom("1") },
            ServerToAgent { instance_uid: uid.clone(), ..custom("2") },
            ServerToAgent { instance_uid: uid, ..command.clone() },
        ]
    );
    absorb(&mut offers, &command, WIDE);
    assert!(offers.clear_command() && !offers.clear_command());
    assert!(offers.is_empty());
}

#[test]
fn the_newest_custom_message_is_refused_at_either_bound() {
    let mut offers = Offers::default();
    let limits = OffersLimits { bytes_max: 1 << 20, custom_messages_max: 2 };
    assert_eq!(absorb(&mut offers, &custom("1"), limits), Absorbed::default());
    absorb(&mut offers, &custom("2"), limits);
    assert_eq!(absorb(&mut offers, &custom("3"), limits).dropped_custom, 1);
    let limits = OffersLimits { bytes_max: offers.bytes(), custom_messages_max: 9 };
    assert_eq!(absorb(&mut offers, &custom("4"), limits).dropped_custom, 1);
    let left = take_all(&mut offers, &Additions::default());
    assert_eq!(left.len(), 2);
    assert_eq!(left[1].custom_message, custom("2").custom_message);
}

#[test]
fn an_offer_over_the_bound_goes_with_the_one_it_supersedes() {
    let mut offers = Offers::default();
    let limits = OffersLimits { bytes_max: 300, custom_messages_max: 9 };
    // Alone it is taken whatever its size.
    assert_eq!(absorb(&mut offers, &config(&[0; 1000]), limits), Absorbed::default());
    absorb(&mut offers, &config(b"small"), limits);
    absorb(&mut offers, &custom("1"), limits);
    let absorbed = absorb(&mut offers, &config(&[0; 1000]), limits);
    assert_eq!((absorbed.dropped_offers, absorbed.dropped_custom), (1, 0));
    assert!(absorbed.dropped_bytes > 1000);
    let left = take_all(&mut offers, &Additions::default());
    assert_eq!(left, [ServerToAgent { instance_uid: addressed().instance_uid, ..custom("1") }]);
}

#[test]
fn unknown_fields_wait_too() {
    let mut offers = Offers::default();
    for value in [1, 2] {
        // Field 20, outside the schema, twice in each message.
        let bytes = [0xa0, 0x01, value, 0xa0, 0x01, value + 10];
        offers.absorb(&ServerScan::parse(&bytes).unwrap(), WIDE);
    }
    let mut out = Vec::new();
    assert!(!offers.take(UID, &Additions::default(), &mut out));
    assert_eq!(&out[18..], [0xa0, 0x01, 2, 0xa0, 0x01, 12]);
}

#[test]
fn nothing_waiting_is_an_acknowledgement_and_costs_no_heap() {
    let mut offers = Offers::default();
    assert_eq!(take_all(&mut offers, &Additions::default()), [addressed()]);
    assert_eq!(offers.custom.capacity(), 0);
}
