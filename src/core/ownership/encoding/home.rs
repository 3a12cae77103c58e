//! A shard's home as bytes: format, the epoch's number, its taker, the node; zero for "no node".

use crate::core::ownership::ids::{Epoch, NodeIncarnation};
use crate::core::ownership::shard::Home;

use super::FORMAT;
use super::reader::{ValueFault, ValueReader};

/// What the map says of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredHome {
    /// It has a home.
    Home(Home),
    /// Its last home gave it up; this was the last epoch.
    Vacant(Epoch),
}

/// The bytes of an epoch inside of a home: number and taker.
pub fn encode_epoch(epoch: Epoch) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&epoch.number.to_be_bytes());
    bytes[8..].copy_from_slice(&epoch.taker.get().to_be_bytes());
    bytes
}

/// The bytes of a home.
pub fn encode_home(stored: StoredHome) -> [u8; 25] {
    let (epoch, node) = match stored {
        StoredHome::Home(Home { node, epoch }) => (epoch, node.get()),
        StoredHome::Vacant(epoch) => (epoch, 0),
    };
    let mut bytes = [FORMAT; 25];
    bytes[1..17].copy_from_slice(&encode_epoch(epoch));
    bytes[17..].copy_from_slice(&node.to_be_bytes());
    bytes
}

/// Reads a home of any format.
///
/// # Errors
/// Says what is wrong with the bytes.
pub fn decode_home(bytes: &[u8]) -> Result<StoredHome, ValueFault> {
    let mut reader = ValueReader::new(bytes)?;
    reader.format()?;
    let epoch = Epoch { number: reader.u64()?, taker: reader.incarnation()? };
    if epoch.number > Epoch::NUMBER_MAX {
        return Err(ValueFault::Field("epoch"));
    }
    Ok(match NodeIncarnation::new(reader.u64()?) {
        Some(node) => StoredHome::Home(Home { node, epoch }),
        None => StoredHome::Vacant(epoch),
    })
}
