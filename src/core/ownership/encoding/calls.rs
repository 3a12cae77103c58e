//! Calls to the store as bytes, for a node that makes them through another one.

use crate::core::ownership::calls::{Change, HomeChange, NODES_MAX, Renew, StoreCall};
use crate::core::ownership::ids::{Counter, Epoch, Secret};
use crate::core::ownership::lease::Lease;
use crate::core::ownership::shard::{Home, SHARDS, ShardId};

use super::lease::{StoredLease, decode_lease, encode_lease};
use super::reader::{ValueFault, ValueReader};
use super::secret::{decode_secret, encode_secret};
use super::{FORMAT, encode_epoch};

/// The longest call, in bytes: a change of all shards among the most members.
pub const CALL_BYTES_MAX: usize = 64 << 10;

const READ: u8 = 0;
const RENEW: u8 = 1;
const CHANGE: u8 = 2;

/// The bytes of a call: format, which call, its fields in their order.
pub fn encode_call(call: &StoreCall) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    match call {
        StoreCall::Read => bytes.push(READ),
        StoreCall::Renew(renew) => {
            bytes.push(RENEW);
            put_renew(&mut bytes, renew);
        }
        StoreCall::Change(change) => {
            bytes.push(CHANGE);
            put_change(&mut bytes, change);
        }
    }
    bytes
}

fn put_renew(bytes: &mut Vec<u8>, renew: &Renew) {
    let Renew { lease, restore, rejoin, secret } = renew;
    put_value(bytes, &encode_lease(lease));
    put_list(bytes, restore, |bytes, (shard, epoch)| {
        bytes.extend(shard.get().to_be_bytes());
        bytes.extend(encode_epoch(*epoch));
    });
    bytes.push(u8::from(*rejoin));
    put_secret(bytes, secret.as_ref());
}

fn put_change(bytes: &mut Vec<u8>, change: &Change) {
    let Change { by, still, remove, add, homes } = change;
    bytes.extend(by.get().to_be_bytes());
    put_list(bytes, still, |bytes, (node, counter)| {
        bytes.extend(node.get().to_be_bytes());
        bytes.extend(counter.0.to_be_bytes());
    });
    put_list(bytes, remove, |bytes, node| bytes.extend(node.get().to_be_bytes()));
    put_value(bytes, &add.as_ref().map(encode_lease).unwrap_or_default());
    put_list(bytes, homes, |bytes, HomeChange { shard, read, new }| {
        bytes.extend(shard.get().to_be_bytes());
        put_some(bytes, *read, |bytes, epoch| bytes.extend(encode_epoch(epoch)));
        put_some(bytes, *new, put_home);
    });
}

/// A value with its length in front; none is a value without bytes.
pub(super) fn put_value(bytes: &mut Vec<u8>, value: &[u8]) {
    let length = u16::try_from(value.len()).expect("a stored value has at most 4 KiB");
    bytes.extend(length.to_be_bytes());
    bytes.extend(value);
}

pub(super) fn put_secret(bytes: &mut Vec<u8>, secret: Option<&Secret>) {
    put_value(bytes, secret.map(encode_secret).as_ref().map_or(&[], |secret| secret.as_slice()));
}

/// A list with its length in front. Lists are of nodes or of shards; what is beyond their number is cut.
pub(super) fn put_list<T>(
    bytes: &mut Vec<u8>,
    items: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    put: impl Fn(&mut Vec<u8>, T),
) {
    let items = items.into_iter();
    let count = items.len().min(SHARDS.into());
    bytes.extend(u16::try_from(count).unwrap_or(SHARDS).to_be_bytes());
    items.take(count).for_each(|item| put(bytes, item));
}

fn put_some<T>(bytes: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    bytes.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(bytes, value);
    }
}

pub(super) fn put_home(bytes: &mut Vec<u8>, home: Home) {
    bytes.extend(encode_epoch(home.epoch));
    bytes.extend(home.node.get().to_be_bytes());
}

/// Reads a call.
///
/// # Errors
/// Says what is wrong with the bytes. The fault of the node that sent them.
pub fn decode_call(bytes: &[u8]) -> Result<StoreCall, ValueFault> {
    let mut reader = ValueReader::up_to(bytes, CALL_BYTES_MAX)?;
    reader.own_format()?;
    match reader.byte()? {
        READ => Ok(StoreCall::Read),
        RENEW => Ok(StoreCall::Renew(Box::new(renew(&mut reader)?))),
        CHANGE => Ok(StoreCall::Change(Box::new(change(&mut reader)?))),
        _ => Err(ValueFault::Field("call")),
    }
}

fn renew(reader: &mut ValueReader<'_>) -> Result<Renew, ValueFault> {
    Ok(Renew {
        lease: own_lease(reader.value()?)?,
        restore: reader.list(SHARDS.into(), |reader| Ok((shard(reader)?, epoch(reader)?)))?,
        rejoin: reader.flag()?,
        secret: secret(reader)?,
    })
}

fn change(reader: &mut ValueReader<'_>) -> Result<Change, ValueFault> {
    Ok(Change {
        by: reader.incarnation()?,
        still: reader
            .list(NODES_MAX, |reader| Ok((reader.incarnation()?, Counter(reader.u64()?))))?,
        remove: reader.list(NODES_MAX, ValueReader::incarnation)?,
        add: match reader.value()? {
            [] => None,
            lease => Some(own_lease(lease)?),
        },
        homes: reader.list(SHARDS.into(), |reader| {
            let shard = shard(reader)?;
            let read = if reader.flag()? { Some(epoch(reader)?) } else { None };
            let new = if reader.flag()? { Some(home(reader)?) } else { None };
            Ok(HomeChange { shard, read, new })
        })?,
    })
}

/// A lease that the caller has written for us to store: we must know its format.
fn own_lease(bytes: &[u8]) -> Result<Lease, ValueFault> {
    match decode_lease(bytes)? {
        StoredLease::Known(lease) => Ok(*lease),
        StoredLease::Unknown(_) => Err(ValueFault::Field("lease")),
    }
}

pub(super) fn secret(reader: &mut ValueReader<'_>) -> Result<Option<Secret>, ValueFault> {
    match reader.value()? {
        [] => Ok(None),
        secret => decode_secret(secret),
    }
}

pub(super) fn shard(reader: &mut ValueReader<'_>) -> Result<ShardId, ValueFault> {
    ShardId::new(u16::from_be_bytes(reader.array()?)).ok_or(ValueFault::Field("shard"))
}

pub(super) fn epoch(reader: &mut ValueReader<'_>) -> Result<Epoch, ValueFault> {
    Ok(Epoch { number: reader.u64()?, taker: reader.incarnation()? })
}

pub(super) fn home(reader: &mut ValueReader<'_>) -> Result<Home, ValueFault> {
    Ok(Home { epoch: epoch(reader)?, node: reader.incarnation()? })
}
