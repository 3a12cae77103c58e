//! Splices, decoded by prost: each says what its documentation promises.

use prost::Message;

use super::*;
use crate::opamp::proto::{self, AgentToServer, ServerToAgent};
use crate::opamp::server::{REPORT_AVAILABLE_COMPONENTS, REPORT_FULL_STATE};

const UID: InstanceUid = InstanceUid::from_bytes(*b"0123456789abcdef");

/// Field 1000, outside the schema, holding `hi`.
const UNKNOWN: &[u8] = &[0xc2, 0x3e, 2, b'h', b'i'];

fn spliced<M: Message + Default>(write: impl FnOnce(&mut Vec<u8>)) -> M {
    let mut out = Vec::new();
    write(&mut out);
    M::decode(&out[..]).unwrap()
}

fn report() -> AgentToServer {
    AgentToServer {
        instance_uid: UID.to_wire().to_vec(),
        sequence_num: 7,
        capabilities: 5,
        agent_description: Some(proto::AgentDescription::default()),
        health: Some(proto::ComponentHealth { healthy: true, ..Default::default() }),
        flags: 1,
        ..Default::default()
    }
}

#[test]
fn forwarding_changes_the_number_alone() {
    let mut bytes = report().encode_to_vec();
    bytes.extend_from_slice(UNKNOWN);
    let scan = AgentScan::parse(&bytes).unwrap();
    let mut out = Vec::new();
    forward(&scan, SequenceNum(7), &mut out);
    assert_eq!(out, bytes);
    for number in [0, u64::MAX] {
        out.clear();
        forward(&scan, SequenceNum(number), &mut out);
        assert!(out.len() <= bytes.len() + FORWARD_BYTES_ADDED_MAX);
        assert!(out.windows(UNKNOWN.len()).any(|window| window == UNKNOWN));
        let expected = AgentToServer { sequence_num: number, ..report() };
        assert_eq!(AgentToServer::decode(&out[..]).unwrap(), expected);
    }
}

#[test]
fn chosen_fields_travel_with_the_unknown_ones() {
    let mut bytes = report().encode_to_vec();
    bytes.extend_from_slice(UNKNOWN);
    let scan = AgentScan::parse(&bytes).unwrap();
    let mut out = Vec::new();
    forward_fields(&scan, FieldSet::of(&[agent_field::HEALTH]), SequenceNum(0), &mut out);
    assert!(out.windows(UNKNOWN.len()).any(|window| window == UNKNOWN));
    let expected = AgentToServer { sequence_num: 0, agent_description: None, flags: 0, ..report() };
    assert_eq!(AgentToServer::decode(&out[..]).unwrap(), expected);
    out.clear();
    forward_fields(&scan, scan.present, SequenceNum(7), &mut out);
    assert_eq!(AgentToServer::decode(&out[..]).unwrap(), report());
}

#[test]
fn messages_in_an_agents_name() {
    let seen: AgentToServer = spliced(|out| announce(UID, 9, SequenceNum(3), out));
    let expected = AgentToServer {
        instance_uid: UID.to_wire().to_vec(),
        sequence_num: 3,
        capabilities: 9,
        ..Default::default()
    };
    assert_eq!(seen, expected);
    let seen: AgentToServer = spliced(|out| disconnect(UID, SequenceNum(4), out));
    let expected = AgentToServer {
        sequence_num: 4,
        capabilities: 0,
        agent_disconnect: Some(proto::AgentDisconnect {}),
        ..expected
    };
    assert_eq!(seen, expected);
}

#[test]
fn what_a_server_left_out_is_added() {
    let offered = proto::CustomCapabilities { capabilities: vec!["a.b".to_owned()] };
    let value = offered.encode_to_vec();
    let additions = Additions {
        flags: REPORT_FULL_STATE,
        capabilities: Some(3),
        custom_capabilities: Some(&value),
    };
    let pushed = ServerToAgent {
        flags: REPORT_AVAILABLE_COMPONENTS,
        remote_config: Some(proto::AgentRemoteConfig::default()),
        ..Default::default()
    };
    let bytes = pushed.encode_to_vec();
    let scan = ServerScan::parse(&bytes).unwrap();
    let seen: ServerToAgent = spliced(|out| assert!(to_agent(&scan, UID, &additions, out)));
    let expected = ServerToAgent {
        instance_uid: UID.to_wire().to_vec(),
        flags: 3,
        capabilities: 3,
        custom_capabilities: Some(offered),
        ..pushed
    };
    assert_eq!(seen, expected);
    // What the server did say stays.
    let bytes = expected.encode_to_vec();
    let scan = ServerScan::parse(&bytes).unwrap();
    let other = Additions { flags: 0, capabilities: Some(1), custom_capabilities: Some(&[]) };
    let mut out = Vec::new();
    assert!(to_agent(&scan, UID, &other, &mut out));
    assert_eq!(out, bytes);
}

#[test]
fn errors_and_commands_stand_alone() {
    let additions = Additions { flags: REPORT_FULL_STATE, ..Default::default() };
    for message in [
        ServerToAgent { error_response: Some(Default::default()), ..Default::default() },
        ServerToAgent { command: Some(Default::default()), ..Default::default() },
    ] {
        let bytes = message.encode_to_vec();
        let scan = ServerScan::parse(&bytes).unwrap();
        let seen: ServerToAgent = spliced(|out| assert!(!to_agent(&scan, UID, &additions, out)));
        assert_eq!(seen, ServerToAgent { instance_uid: UID.to_wire().to_vec(), ..message });
    }
}

#[test]
fn replies_of_the_gateways_own() {
    let additions = Additions { flags: 1, capabilities: Some(3), custom_capabilities: None };
    let seen: ServerToAgent = spliced(|out| acknowledge(UID, &additions, out));
    let acknowledged = ServerToAgent {
        instance_uid: UID.to_wire().to_vec(),
        flags: 1,
        capabilities: 3,
        ..Default::default()
    };
    assert_eq!(seen, acknowledged);
    let new = InstanceUid::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    let mut out = Vec::new();
    new_instance_uid(UID, new, &additions, &mut out);
    let scan = ServerScan::parse(&out).unwrap();
    assert_eq!(scan.new_instance_uid(), Some(&new.to_wire()[..]));
    assert_eq!((scan.uid, scan.flags), (Some(&UID.to_wire()[..]), 1));
    ServerToAgent::decode(&out[..]).unwrap();
}

#[test]
fn refusals_say_why_and_until_when() {
    let mut out = Vec::new();
    unavailable(None, "busy", Duration::from_secs(30), &mut out);
    let scan = ServerScan::parse(&out).unwrap();
    let error = scan.error().unwrap();
    assert_eq!(scan.uid, None);
    assert_eq!(error.kind, crate::opamp::ErrorKind::Unavailable);
    assert_eq!((error.retry_after, &error.message[..]), (Some(Duration::from_secs(30)), "busy"));
    out.clear();
    bad_request(Some(UID), &"x".repeat(300), &mut out);
    let scan = ServerScan::parse(&out).unwrap();
    let error = scan.error().unwrap();
    assert_eq!(scan.uid, Some(&UID.to_wire()[..]));
    assert_eq!(error.kind, crate::opamp::ErrorKind::BadRequest);
    assert_eq!((error.retry_after, error.message.len()), (None, 300));
}
