//! What observIQ's opampgateway asks before it lets an agent in: an AgentToServer without a uid, which carries a custom
//! message with the agent's headers. Without an answer within 30 s the agent gets 504 (docs/FIELD-NOTES.md, section 3).
//! Must not know whether an agent may come in.

use prost::Message as _;
use serde::{Deserialize, Serialize};

use super::proto::{AgentToServer, CustomMessage, ServerToAgent};

const CAPABILITY: &str = "com.bindplane.opamp-gateway";
const QUESTION: &str = "connect";
const ANSWER: &str = "connectResult";
/// The longest name of a question that is answered: a UUID has 36 characters.
const NAME_BYTES_MAX: usize = 128;

/// A question of this kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest {
    request_uid: String,
}

#[derive(Deserialize)]
struct Question {
    request_uid: String,
}

#[derive(Serialize)]
struct ConnectAnswer<'a> {
    request_uid: &'a str,
    accept: bool,
    http_status_code: u16,
    response_headers: NoHeaders,
}

#[derive(Serialize)]
struct NoHeaders {}

impl ConnectRequest {
    /// Reads a message without a uid. `None`: it is something else.
    pub fn read(message: &[u8]) -> Option<Self> {
        let AgentToServer { instance_uid, custom_message, .. } =
            AgentToServer::decode(message).ok()?;
        let CustomMessage { capability, r#type, data } = custom_message?;
        if !instance_uid.is_empty() || capability != CAPABILITY || r#type != QUESTION {
            return None;
        }
        let Question { request_uid } = serde_json::from_slice(&data).ok()?;
        (request_uid.len() <= NAME_BYTES_MAX).then_some(Self { request_uid })
    }

    /// Appends a `ServerToAgent` which says that the agent may come in.
    pub fn accept(&self, out: &mut Vec<u8>) {
        let answer = ConnectAnswer {
            request_uid: &self.request_uid,
            accept: true,
            http_status_code: 200,
            response_headers: NoHeaders {},
        };
        let data = serde_json::to_vec(&answer).expect("it is numbers and text");
        let custom =
            CustomMessage { capability: CAPABILITY.to_owned(), r#type: ANSWER.to_owned(), data };
        let message = ServerToAgent { custom_message: Some(custom), ..ServerToAgent::default() };
        message.encode(out).expect("a vector grows");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(data: &str) -> AgentToServer {
        let custom = CustomMessage {
            capability: CAPABILITY.to_owned(),
            r#type: QUESTION.to_owned(),
            data: data.as_bytes().to_vec(),
        };
        AgentToServer { custom_message: Some(custom), ..AgentToServer::default() }
    }

    #[test]
    fn a_question_is_answered_under_its_own_name() {
        let json = r#"{"request_uid":"a \"name\"","remote_address":"[::1]:7","headers":{"A":"b"}}"#;
        let asked = ConnectRequest::read(&question(json).encode_to_vec()).unwrap();
        let mut out = Vec::new();
        asked.accept(&mut out);
        let answer = ServerToAgent::decode(&out[..]).unwrap();
        let custom = answer.custom_message.unwrap();
        assert_eq!((custom.capability.as_str(), custom.r#type.as_str()), (CAPABILITY, ANSWER));
        let said = String::from_utf8(custom.data).unwrap();
        let expected = r#"{"request_uid":"a \"name\"","accept":true,"http_status_code":200,"response_headers":{}}"#;
        assert_eq!(said, expected);
    }

    #[test]
    fn nothing_else_is_taken_for_one() {
        let read = |message: &AgentToServer| ConnectRequest::read(&message.encode_to_vec());
        let right = question(r#"{"request_uid":"x"}"#);
        assert!(read(&right).is_some());
        assert_eq!(read(&AgentToServer { instance_uid: vec![1; 16], ..right }), None);
        assert_eq!(read(&question("{}")), None);
        assert_eq!(read(&question("not json")), None);
        let long = format!(r#"{{"request_uid":"{}"}}"#, "x".repeat(NAME_BYTES_MAX + 1));
        assert_eq!(read(&question(&long)), None);
        assert_eq!(read(&AgentToServer::default()), None);
        assert_eq!(ConnectRequest::read(&[0xff]), None);
    }
}
