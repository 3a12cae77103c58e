//! What the gateway reads of a ServerToAgent: for whom it is, what it asks, what it offers.
//!
//! Offers stay bytes. Only an error response is decoded, because the gateway itself obeys it. Must not know
//! links or sessions.

use std::ops::Range;
use std::time::Duration;

use prost::Message;

use super::field_set::{FieldSet, server_field};
use super::fields::{Field, ScanError, WireType, fields};
use super::proto;

/// `ServerToAgentFlags_ReportFullState`.
pub const REPORT_FULL_STATE: u64 = 1;
/// `ServerToAgentFlags_ReportAvailableComponents`.
pub const REPORT_AVAILABLE_COMPONENTS: u64 = 2;

/// The longest text of an error, in bytes: it is for a log line, and the server chooses its length.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 512;

/// The top level of a ServerToAgent (OpAMP specification, "ServerToAgent Message").
///
/// Ranges are those of a field's value within `bytes`. Of a field that stands more than once, the last
/// counts; all known servers write each field once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerScan<'a> {
    /// The message behind the WebSocket header.
    pub bytes: &'a [u8],
    /// `instance_uid`; `None` if absent or empty, as in the pushes of servers that serve one agent
    /// a connection.
    pub uid: Option<&'a [u8]>,
    /// `flags`, a bit mask of `ServerToAgentFlags`; 0 if absent.
    pub flags: u64,
    /// `capabilities`, a bit mask of `ServerCapabilities`; `None` if absent or unspecified (0).
    pub capabilities: Option<u64>,
    /// Which fields are there, also those with a default value.
    pub present: FieldSet,
    /// Where `error_response` stands.
    pub error_response: Option<Range<usize>>,
    /// Where `agent_identification` stands.
    pub agent_identification: Option<Range<usize>>,
    /// Where `command` stands.
    pub command: Option<Range<usize>>,
    /// Where `custom_capabilities` stands; the value is what [`super::Additions`] takes.
    pub custom_capabilities: Option<Range<usize>>,
}

/// What an error response says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// Whose fault it is.
    pub kind: ErrorKind,
    /// How long to wait before the next attempt, if the server says so.
    pub retry_after: Option<Duration>,
    /// The server's text, cut at [`ERROR_MESSAGE_BYTES_MAX`].
    pub message: String,
}

/// `ServerErrorResponseType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The server leaves it open; also for a type of a later version.
    Unknown,
    /// The request was at fault: sending it again is useless.
    BadRequest,
    /// The server is overloaded or in trouble: retrying later helps.
    Unavailable,
}

impl<'a> ServerScan<'a> {
    /// Scans a message whose WebSocket header was stripped ([`super::header::strip`]).
    ///
    /// # Errors
    /// If the bytes are malformed protobuf, or a field of the schema has the wrong wire type: the server's
    /// fault; retrying does not help.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ScanError> {
        let mut scan = Self {
            bytes,
            uid: None,
            flags: 0,
            capabilities: None,
            present: FieldSet::EMPTY,
            error_response: None,
            agent_identification: None,
            command: None,
            custom_capabilities: None,
        };
        for field in fields(bytes) {
            scan.note(&field?)?;
        }
        Ok(scan)
    }

    #[inline(always)]
    fn note(&mut self, field: &Field) -> Result<(), ScanError> {
        use server_field::{CAPABILITIES, CUSTOM_MESSAGE, FLAGS, INSTANCE_UID};
        match field.number {
            FLAGS => {
                field.expect(WireType::Varint)?;
                self.flags = field.varint();
            }
            CAPABILITIES => {
                field.expect(WireType::Varint)?;
                self.capabilities = Some(field.varint()).filter(|bits| *bits != 0);
            }
            INSTANCE_UID..=CUSTOM_MESSAGE => {
                field.expect(WireType::Len)?;
                self.note_range(field);
            }
            _ => {
                self.present.insert(FieldSet::OTHER);
                return Ok(());
            }
        }
        self.present.insert(field.number);
        Ok(())
    }

    fn note_range(&mut self, field: &Field) {
        let range = field.value.clone();
        match field.number {
            server_field::INSTANCE_UID => {
                self.uid = Some(&self.bytes[range]).filter(|uid| !uid.is_empty());
            }
            server_field::ERROR_RESPONSE => self.error_response = Some(range),
            server_field::AGENT_IDENTIFICATION => self.agent_identification = Some(range),
            server_field::COMMAND => self.command = Some(range),
            server_field::CUSTOM_CAPABILITIES => self.custom_capabilities = Some(range),
            _ => {}
        }
    }

    /// Whether the message only acknowledges: it holds at most uid, capabilities, custom capabilities, and
    /// flags of 0.
    pub const fn is_empty_ack(&self) -> bool {
        self.present.is_subset(server_field::ACKNOWLEDGEMENT) && self.flags == 0
    }

    /// The message with these flags cleared in the scan; its bytes stay as they are.
    #[must_use]
    pub fn without_flags(&self, flags: u64) -> Self {
        Self { flags: self.flags & !flags, ..self.clone() }
    }

    /// Whether the server asks for everything ("ReportFullState").
    pub const fn reports_full_state_wanted(&self) -> bool {
        self.flags & REPORT_FULL_STATE != 0
    }

    /// Whether the server asks for the component map behind a hash ("ReportAvailableComponents").
    pub const fn available_components_wanted(&self) -> bool {
        self.flags & REPORT_AVAILABLE_COMPONENTS != 0
    }

    /// The error response, if there is one. A malformed one is an error as well: [`ErrorKind::Unknown`], and
    /// the text says so.
    pub fn error(&self) -> Option<ServerError> {
        let range = self.error_response.clone()?;
        let Ok(response) = proto::ServerErrorResponse::decode(&self.bytes[range]) else {
            return Some(ServerError {
                kind: ErrorKind::Unknown,
                retry_after: None,
                message: "an error response that cannot be decoded".to_owned(),
            });
        };
        let kind = match response.r#type() {
            proto::ServerErrorResponseType::Unknown => ErrorKind::Unknown,
            proto::ServerErrorResponseType::BadRequest => ErrorKind::BadRequest,
            proto::ServerErrorResponseType::Unavailable => ErrorKind::Unavailable,
        };
        let retry_after = response.details.map(|details| {
            let proto::server_error_response::Details::RetryInfo(info) = details;
            Duration::from_nanos(info.retry_after_nanoseconds)
        });
        let mut message = response.error_message;
        message.truncate(message.floor_char_boundary(ERROR_MESSAGE_BYTES_MAX));
        message.shrink_to_fit();
        Some(ServerError { kind, retry_after, message })
    }

    /// `connection_settings.opamp.heartbeat_interval_seconds`, if the message offers one
    /// ("OpAMPConnectionSettings.heartbeat_interval_seconds"). 0 is as good as absent; `None` also if the field is
    /// malformed inside.
    pub fn offered_heartbeat_interval_s(&self) -> Option<u64> {
        const OPAMP: u32 = 2;
        const HEARTBEAT_INTERVAL_SECONDS: u32 = 4;
        if !self.present.contains(server_field::CONNECTION_SETTINGS) {
            return None;
        }
        let settings = last_message(self.bytes, server_field::CONNECTION_SETTINGS)?;
        let opamp = last_message(settings, OPAMP)?;
        let mut seconds = None;
        for field in fields(opamp) {
            let field = field.ok()?;
            if field.number == HEARTBEAT_INTERVAL_SECONDS && field.wire == WireType::Varint {
                seconds = Some(field.varint());
            }
        }
        seconds.filter(|seconds| *seconds > 0)
    }

    /// `agent_identification.new_instance_uid`, if the server gives the agent another uid. `None`
    /// also if the field is malformed inside.
    pub fn new_instance_uid(&self) -> Option<&'a [u8]> {
        let inside = &self.bytes[self.agent_identification.clone()?];
        let mut uid = None;
        for field in fields(inside) {
            let field = field.ok()?;
            if field.number == 1 && field.wire == WireType::Len {
                uid = Some(&inside[field.value]);
            }
        }
        uid.filter(|uid| !uid.is_empty())
    }
}

/// The value of a message's field, the last one of this number; `None` also if the message is malformed.
fn last_message(bytes: &[u8], number: u32) -> Option<&[u8]> {
    let mut last = None;
    for field in fields(bytes) {
        let field = field.ok()?;
        if field.number == number && field.wire == WireType::Len {
            last = Some(&bytes[field.value]);
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_with(text: String, nanoseconds: u64) -> Vec<u8> {
        proto::ServerToAgent {
            error_response: Some(proto::ServerErrorResponse {
                r#type: proto::ServerErrorResponseType::Unavailable.into(),
                error_message: text,
                details: Some(proto::server_error_response::Details::RetryInfo(proto::RetryInfo {
                    retry_after_nanoseconds: nanoseconds,
                })),
            }),
            ..Default::default()
        }
        .encode_to_vec()
    }

    #[test]
    fn an_error_is_read_and_its_text_bounded() {
        let bytes = error_with("é".repeat(1000), 1_500_000_000);
        let error = ServerScan::parse(&bytes).unwrap().error().unwrap();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert_eq!(error.retry_after, Some(Duration::from_millis(1500)));
        assert_eq!(error.message.len(), ERROR_MESSAGE_BYTES_MAX);
        // A length that runs out of the field.
        let error = ServerScan::parse(&[0x12, 2, 0x12, 9]).unwrap().error().unwrap();
        assert_eq!(error.kind, ErrorKind::Unknown);
    }

    #[test]
    fn an_interval_that_is_offered_is_read() {
        let offers = |seconds| {
            let opamp = proto::OpAmpConnectionSettings {
                heartbeat_interval_seconds: seconds,
                destination_endpoint: "wss://there".to_owned(),
                ..Default::default()
            };
            let settings =
                proto::ConnectionSettingsOffers { opamp: Some(opamp), ..Default::default() };
            proto::ServerToAgent { connection_settings: Some(settings), ..Default::default() }
                .encode_to_vec()
        };
        let read = |bytes: &[u8]| ServerScan::parse(bytes).unwrap().offered_heartbeat_interval_s();
        assert_eq!(read(&offers(150)), Some(150));
        assert_eq!((read(&offers(0)), read(&[])), (None, None));
        assert_eq!(read(&[0x22, 2, 0x12, 9]), None, "malformed inside");
    }

    #[test]
    fn an_empty_reply_is_an_acknowledgement_and_a_flag_is_not() {
        let mut message = proto::ServerToAgent {
            instance_uid: vec![1; 16],
            capabilities: 3,
            custom_capabilities: Some(proto::CustomCapabilities::default()),
            ..Default::default()
        };
        assert!(ServerScan::parse(&[]).unwrap().is_empty_ack());
        assert!(ServerScan::parse(&message.encode_to_vec()).unwrap().is_empty_ack());
        message.flags = REPORT_FULL_STATE | REPORT_AVAILABLE_COMPONENTS;
        let bytes = message.encode_to_vec();
        let scan = ServerScan::parse(&bytes).unwrap();
        assert!(!scan.is_empty_ack());
        assert!(scan.reports_full_state_wanted() && scan.available_components_wanted());
        assert_eq!(scan.capabilities, Some(3));
        assert_eq!(scan.custom_capabilities.map(|range| range.len()), Some(0));
    }

    #[test]
    fn a_new_uid_is_found() {
        let bytes = proto::ServerToAgent {
            agent_identification: Some(proto::AgentIdentification {
                new_instance_uid: vec![9; 16],
            }),
            ..Default::default()
        }
        .encode_to_vec();
        let scan = ServerScan::parse(&bytes).unwrap();
        assert_eq!(scan.new_instance_uid(), Some(&[9; 16][..]));
        assert_eq!(scan.uid, None);
        assert!(!scan.is_empty_ack());
    }
}
