//! WebSocket (RFC 6455) as bytes alone: frames, messages, the opening handshake. Rank 1.
//!
//! Written so that an idle peer holds zero bytes of buffer, which tungstenite's stream is unable to do; frame
//! headers and the handshake's digest are tungstenite's. Extensions are declined. Sockets, tokio, the clock and
//! policy stay outside; of OpAMP it knows the one byte in front of its messages.

mod decode;
mod encode;
mod fault;
mod frame;
mod head;
mod host;
mod mask;
mod request;
mod response;
mod tag;

pub use decode::{Decoder, Incoming};
pub use encode::{
    OpenFrame, begin_message, encode_close, encode_message, encode_ping, encode_pong,
    finish_message,
};
pub use fault::Fault;
pub use head::{HEADERS_MAX, HeadFault, Headers};
pub use host::{HostFault, check_host};
pub use mask::apply_mask;
pub use request::{
    Key, RequestHead, UpgradeFault, accept_response, check_upgrade, continue_response,
};
pub use response::{
    ClientRequest, Refused, ResponseHead, check_response, client_request, retry_after,
};
pub use tag::copy_tagged;
pub use tokio_tungstenite::tungstenite::handshake::client::generate_key;

/// Which end of the connection this process is (RFC 6455, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The server's end: what the peer sends must be masked.
    Server,
    /// The client's end: what the peer sends must be unmasked.
    Client,
}
