//! The fleet's key of digests as bytes: format, id, key.

use crate::core::ownership::ids::Secret;

use super::FORMAT;
use super::reader::{ValueFault, ValueReader};

/// The bytes of a secret.
pub fn encode_secret(secret: &Secret) -> [u8; 41] {
    let mut bytes = [FORMAT; 41];
    bytes[1..9].copy_from_slice(&secret.id.to_be_bytes());
    bytes[9..].copy_from_slice(&secret.key);
    bytes
}

/// Reads a secret; `None` of a format that this version does not know: digests stay unknown then.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn decode_secret(bytes: &[u8]) -> Result<Option<Secret>, ValueFault> {
    let mut reader = ValueReader::new(bytes)?;
    if reader.format()? != FORMAT {
        return Ok(None);
    }
    Ok(Some(Secret { id: reader.u64()?, key: reader.array()? }))
}
