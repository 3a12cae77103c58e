//! A splice changes only what it says, on any message that prost decodes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use seawall::ident::{InstanceUid, SequenceNum};
use seawall::opamp::proto::{AgentToServer, ServerToAgent};
use seawall::opamp::{Additions, AgentScan, FieldSet, ServerScan, agent_field, fields, splice};

const UID: InstanceUid = InstanceUid::from_bytes(*b"0123456789abcdef");

fuzz_target!(|data: &[u8]| {
    // The first bytes choose what is changed.
    let Some((choices, bytes)) = data.split_first_chunk::<4>() else { return };
    let number = SequenceNum(u64::from(choices[0]) << (choices[1] % 64));
    let keep: Vec<u32> = (1..16).filter(|bit| (choices[2] as u32 * 257) >> bit & 1 == 1).collect();
    agent(bytes, number, FieldSet::of(&keep));
    server(bytes, u64::from(choices[3]));
});

/// Doubles may be NaN, which differs from itself: encoded forms are compared.
fn same<M: Message>(one: &M, other: &M) {
    assert_eq!(one.encode_to_vec(), other.encode_to_vec());
}

fn unknown(bytes: &[u8]) -> Vec<&[u8]> {
    fields(bytes)
        .map_while(Result::ok)
        .filter(|field| field.number > agent_field::CONNECTION_SETTINGS_STATUS)
        .map(|field| &bytes[field.whole])
        .collect()
}

fn agent(bytes: &[u8], number: SequenceNum, keep: FieldSet) {
    let Ok(scan) = AgentScan::parse(bytes) else { return };
    let mut out = Vec::new();
    splice::forward_fields(&scan, keep, number, &mut out);
    let again = AgentScan::parse(&out).expect("a splice of a message is a message");
    assert_eq!((again.uid, again.capabilities), (scan.uid, scan.capabilities));
    assert_eq!(again.sequence_num, number);
    let always = FieldSet::of(&[
        agent_field::INSTANCE_UID,
        agent_field::CAPABILITIES,
        agent_field::SEQUENCE_NUM,
        FieldSet::OTHER,
    ]);
    assert!(again.present.is_subset(scan.present.intersection(keep).union(always)));
    assert!(scan.present.intersection(keep).is_subset(again.present));
    assert_eq!(unknown(&out), unknown(bytes));

    let Ok(mut decoded) = AgentToServer::decode(bytes) else { return };
    out.clear();
    splice::forward_fields(&scan, scan.present, scan.sequence_num, &mut out);
    same(&AgentToServer::decode(&out[..]).expect("all fields travel"), &decoded);
    out.clear();
    splice::forward(&scan, number, &mut out);
    decoded.sequence_num = number.0;
    same(&AgentToServer::decode(&out[..]).expect("all fields travel"), &decoded);
}

fn server(bytes: &[u8], flags: u64) {
    let Ok(scan) = ServerScan::parse(bytes) else { return };
    let mut out = Vec::new();
    let additions = Additions { flags, capabilities: Some(3), custom_capabilities: Some(&[]) };
    let carried = splice::to_agent(&scan, UID, &additions, &mut out);
    ServerScan::parse(&out).expect("a splice of a message is a message");
    let Ok(mut decoded) = ServerToAgent::decode(bytes) else { return };
    if decoded.instance_uid.is_empty() {
        decoded.instance_uid = UID.to_wire().to_vec();
    }
    if carried {
        decoded.flags |= flags;
        if decoded.capabilities == 0 {
            decoded.capabilities = 3;
        }
        decoded.custom_capabilities.get_or_insert_default();
    }
    same(&ServerToAgent::decode(&out[..]).expect("all fields travel"), &decoded);
}
