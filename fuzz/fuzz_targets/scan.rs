//! The scan accepts what prost decodes, with the same values; both return on any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use seawall::ident::SequenceNum;
use seawall::opamp::proto::{AgentToServer, ServerToAgent};
use seawall::opamp::{AgentScan, ScanError, ServerScan, fields, header};

fuzz_target!(|data: &[u8]| {
    let bytes = header::strip(data);
    // Any message: the fields found follow one another gaplessly.
    let mut end = 0;
    for field in fields(bytes).map_while(Result::ok) {
        assert_eq!(field.whole.start, end);
        assert!(field.value.start > field.whole.start && field.value.end == field.whole.end);
        end = field.whole.end;
    }
    agent(bytes);
    server(bytes);
});

fn agent(bytes: &[u8]) {
    let scanned = AgentScan::parse(bytes);
    let Ok(decoded) = AgentToServer::decode(bytes) else { return };
    // How deep an empty group may be is counted in another way.
    if matches!(scanned, Err(ScanError::GroupDepth { .. })) {
        return;
    }
    let scan = scanned.expect("prost decodes it");
    assert_eq!(scan.uid, decoded.instance_uid);
    assert_eq!(scan.sequence_num, SequenceNum(decoded.sequence_num));
    assert_eq!(scan.capabilities, decoded.capabilities);
    assert_eq!(scan.flags, decoded.flags);
    assert_eq!(scan.is_full(), decoded.agent_description.is_some());
    assert_eq!(scan.disconnects(), decoded.agent_disconnect.is_some());
    if scan.is_heartbeat() {
        let silent = AgentToServer {
            instance_uid: decoded.instance_uid.clone(),
            sequence_num: decoded.sequence_num,
            capabilities: decoded.capabilities,
            ..Default::default()
        };
        assert_eq!(decoded, silent);
    }
}

fn server(bytes: &[u8]) {
    let scanned = ServerScan::parse(bytes);
    if let Ok(scan) = &scanned {
        // These look inside, at bytes that are still unchecked.
        scan.error();
        scan.new_instance_uid();
    }
    let Ok(decoded) = ServerToAgent::decode(bytes) else { return };
    if matches!(scanned, Err(ScanError::GroupDepth { .. })) {
        return;
    }
    let scan = scanned.expect("prost decodes it");
    assert_eq!(scan.uid.unwrap_or_default(), decoded.instance_uid);
    assert_eq!(scan.flags, decoded.flags);
    assert_eq!(scan.capabilities.unwrap_or_default(), decoded.capabilities);
    assert_eq!(scan.error().is_some(), decoded.error_response.is_some());
    if scan.is_empty_ack() {
        let silent = ServerToAgent {
            instance_uid: decoded.instance_uid.clone(),
            capabilities: decoded.capabilities,
            custom_capabilities: decoded.custom_capabilities.clone(),
            ..Default::default()
        };
        assert_eq!(decoded, silent);
    }
}
