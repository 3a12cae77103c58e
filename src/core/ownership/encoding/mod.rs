//! Leases, homes and the secret as the store's bytes; calls and answers as nodes pass them on; what
//! nodes say to each other about themselves.
//!
//! Each value begins with its format, one byte. Numbers are big-endian. What follows the fields that this
//! version knows is passed over, so that a later version may add fields to a format. A change that older
//! versions would misread is another format, which they leave alone.
//!
//! The head of a lease and all of a home are laid out alike in every format: the store's scripts compare
//! them, byte by byte, and older nodes watch newer ones by them.

mod answers;
mod calls;
mod home;
mod lease;
mod peer;
mod reader;
mod secret;
#[cfg(test)]
mod tests;

pub use answers::{ANSWER_BYTES_MAX, decode_answer, encode_answer};
pub use calls::{CALL_BYTES_MAX, decode_call, encode_call};
pub use home::{StoredHome, decode_home, encode_epoch, encode_home};
pub use lease::{StoredLease, decode_lease, encode_lease};
pub use peer::{PEER_BYTES_MAX, decode_peer_message, encode_peer_message};
pub use reader::ValueFault;
pub use secret::{decode_secret, encode_secret};

/// The highest format that this version of the software knows, and the one that it writes.
pub const FORMAT: u8 = 1;

/// The longest value, in bytes, that is read or written.
pub const VALUE_BYTES_MAX: usize = 4096;
