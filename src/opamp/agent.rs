//! What the gateway reads of an AgentToServer: who speaks, its number, and which fields are there.
//!
//! Everything else stays bytes. The uid's form is `ident`'s concern. Must not know sessions.

use super::field_set::{FieldSet, agent_field};
use super::fields::{Field, ScanError, WireType, fields};
use crate::ident::SequenceNum;

/// The top level of an AgentToServer (OpAMP specification, "AgentToServer Message").
#[derive(Debug, Clone, PartialEq)]
pub struct AgentScan<'a> {
    /// The message behind the WebSocket header.
    pub bytes: &'a [u8],
    /// `instance_uid` as it stands; empty if absent.
    pub uid: &'a [u8],
    /// `sequence_num`; 0 if absent.
    pub sequence_num: SequenceNum,
    /// `capabilities`, a bit mask of `AgentCapabilities`; 0 if absent.
    pub capabilities: u64,
    /// `flags`, a bit mask of `AgentToServerFlags`; 0 if absent.
    pub flags: u64,
    /// Which fields are there, also those with a default value.
    pub present: FieldSet,
}

impl<'a> AgentScan<'a> {
    /// Scans a message whose WebSocket header was stripped ([`super::header::strip`]).
    ///
    /// Of a field that stands more than once the last value counts, as in every protobuf decoder.
    ///
    /// # Errors
    /// If the bytes are malformed protobuf, or a field of the schema has the wrong wire type: the agent's
    /// fault; retrying does not help.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ScanError> {
        let mut scan = Self {
            bytes,
            uid: &[],
            sequence_num: SequenceNum(0),
            capabilities: 0,
            flags: 0,
            present: FieldSet::EMPTY,
        };
        for field in fields(bytes) {
            scan.note(&field?)?;
        }
        Ok(scan)
    }

    #[inline(always)]
    fn note(&mut self, field: &Field) -> Result<(), ScanError> {
        use agent_field::{
            CAPABILITIES, CONNECTION_SETTINGS_STATUS, FLAGS, INSTANCE_UID, SEQUENCE_NUM,
        };
        match field.number {
            SEQUENCE_NUM | CAPABILITIES | FLAGS => {
                field.expect(WireType::Varint)?;
                match field.number {
                    SEQUENCE_NUM => self.sequence_num = SequenceNum(field.varint()),
                    CAPABILITIES => self.capabilities = field.varint(),
                    _ => self.flags = field.varint(),
                }
            }
            INSTANCE_UID..=CONNECTION_SETTINGS_STATUS => {
                field.expect(WireType::Len)?;
                if field.number == INSTANCE_UID {
                    self.uid = &self.bytes[field.value.clone()];
                }
            }
            _ => {
                self.present.insert(FieldSet::OTHER);
                return Ok(());
            }
        }
        self.present.insert(field.number);
        Ok(())
    }

    /// The number, if the message has one. proto3 leaves a 0 out. So a full report without one is numbered 0, as the
    /// first of a process is; any other message without one is not numbered, as a heartbeat of the uid alone is
    /// ("OpAMPConnectionSettings.heartbeat_interval_seconds").
    pub const fn number(&self) -> Option<SequenceNum> {
        let said = self.present.contains(agent_field::SEQUENCE_NUM) || self.is_full();
        if said { Some(self.sequence_num) } else { None }
    }

    /// The capabilities, if the message says any: 0 is `UnspecifiedAgentCapability` ("AgentCapabilities").
    pub const fn stated_capabilities(&self) -> Option<u64> {
        if self.capabilities == 0 { None } else { Some(self.capabilities) }
    }

    /// Whether the message only says that the agent is alive: uid, number, capabilities, and flags of 0
    /// ("OpAMPConnectionSettings.heartbeat_interval_seconds").
    pub const fn is_heartbeat(&self) -> bool {
        self.present.is_subset(agent_field::HEARTBEAT) && self.flags == 0
    }

    /// Whether the message carries `agent_description`, which only full reports do ("Agent Status
    /// Compression").
    pub const fn is_full(&self) -> bool {
        self.present.contains(agent_field::AGENT_DESCRIPTION)
    }

    /// Whether the message says goodbye, and nothing else.
    pub const fn only_disconnects(&self) -> bool {
        const GOODBYE: FieldSet =
            agent_field::HEARTBEAT.union(FieldSet::of(&[agent_field::AGENT_DISCONNECT]));
        self.disconnects() && self.present.is_subset(GOODBYE) && self.flags == 0
    }

    /// Whether this is the agent's last message before it leaves for good ("AgentDisconnect").
    pub const fn disconnects(&self) -> bool {
        self.present.contains(agent_field::AGENT_DISCONNECT)
    }
}

/// What the beginning of a message says of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadingUid<'a> {
    /// `instance_uid`, as it stands first.
    Uid(&'a [u8]),
    /// No such field is complete so far.
    Unfinished,
    /// This is no message.
    Malformed,
}

/// Looks for `instance_uid` in the beginning of a message that is still arriving.
pub fn leading_uid(bytes: &[u8]) -> LeadingUid<'_> {
    for field in fields(bytes) {
        match field {
            Ok(field) if field.number == agent_field::INSTANCE_UID => {
                return match field.expect(WireType::Len) {
                    Ok(()) => LeadingUid::Uid(&bytes[field.value]),
                    Err(_) => LeadingUid::Malformed,
                };
            }
            Ok(_) => {}
            Err(ScanError::Truncated { .. }) => return LeadingUid::Unfinished,
            Err(_) => return LeadingUid::Malformed,
        }
    }
    LeadingUid::Unfinished
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opamp::proto;
    use prost::Message;

    #[test]
    fn values_are_those_of_the_message() {
        let message = proto::AgentToServer {
            instance_uid: vec![7; 16],
            sequence_num: 300,
            capabilities: 0x1805,
            flags: 1,
            agent_description: Some(proto::AgentDescription::default()),
            ..Default::default()
        };
        let bytes = message.encode_to_vec();
        let scan = AgentScan::parse(&bytes).unwrap();
        assert_eq!(scan.uid, [7; 16]);
        assert_eq!(scan.sequence_num, SequenceNum(300));
        assert_eq!(scan.capabilities, 0x1805);
        assert!(scan.is_full());
        assert_eq!(scan.flags, 1);
        assert!(!scan.is_heartbeat() && !scan.disconnects());
        assert_eq!(scan.present, FieldSet::of(&[1, 2, 3, 4, 10]));
    }

    #[test]
    fn a_heartbeat_says_nothing_else() {
        let mut message = proto::AgentToServer {
            instance_uid: vec![7; 16],
            sequence_num: 1,
            ..Default::default()
        };
        assert!(AgentScan::parse(&message.encode_to_vec()).unwrap().is_heartbeat());
        message.flags = 1;
        assert!(!AgentScan::parse(&message.encode_to_vec()).unwrap().is_heartbeat());
        message.flags = 0;
        message.agent_disconnect = Some(proto::AgentDisconnect {});
        let bytes = message.encode_to_vec();
        let scan = AgentScan::parse(&bytes).unwrap();
        assert!(scan.disconnects() && !scan.is_heartbeat());
        // Field 20, which every version ignores: it may mean something to the server.
        assert!(!AgentScan::parse(&[0xa0, 0x01, 1]).unwrap().is_heartbeat());
        assert!(AgentScan::parse(&[]).unwrap().is_heartbeat());
    }

    #[test]
    fn what_is_absent_is_not_said() {
        let bare = AgentScan::parse(&[0x0a, 1, 7]).unwrap();
        assert_eq!((bare.number(), bare.stated_capabilities()), (None, None));
        let explicit = AgentScan::parse(&[0x10, 0, 0x20, 0]).unwrap();
        assert_eq!(explicit.number(), Some(SequenceNum(0)));
        assert_eq!(explicit.stated_capabilities(), None, "0 is the unspecified one");
        let full = AgentScan::parse(&[0x1a, 0, 0x20, 3]).unwrap();
        assert_eq!(full.number(), Some(SequenceNum(0)), "the first of a process");
        assert_eq!(full.stated_capabilities(), Some(3));
    }

    #[test]
    fn the_last_value_counts_and_the_wire_type_must_fit() {
        let scan = AgentScan::parse(&[0x10, 5, 0x10, 6]).unwrap();
        assert_eq!(scan.sequence_num, SequenceNum(6));
        assert_eq!(AgentScan::parse(&[0x12, 0]), Err(ScanError::Mismatch { number: 2, offset: 0 }));
        assert_eq!(
            AgentScan::parse(&[0x10, 5, 0x18, 0]),
            Err(ScanError::Mismatch { number: 3, offset: 2 })
        );
    }
}
