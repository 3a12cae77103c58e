//! Answers of the store, and all that it holds, as bytes, for a node that hears of them from another one.

use std::collections::BTreeMap;

use crate::core::ownership::calls::{
    ChangeAnswer, ChangeRefusal, NODES_MAX, RenewAnswer, Renewed, Snapshot, StoreAnswer,
};
use crate::core::ownership::ids::{MapVersion, NodeIncarnation, RunId};
use crate::core::ownership::lease::{Lease, LeaseHead};
use crate::core::ownership::shard::{SHARDS, ShardId};

use super::calls::{epoch, home, put_home, put_list, put_secret, put_value, secret, shard};
use super::lease::{StoredLease, decode_lease, encode_head, encode_lease};
use super::reader::{ValueFault, ValueReader};
use super::{FORMAT, encode_epoch};

/// The longest answer, in bytes: everything, with the most members and all shards.
pub const ANSWER_BYTES_MAX: usize = 128 << 10;

const SNAPSHOT: u8 = 0;
const RENEWED: u8 = 1;
const NOT_MEMBER: u8 = 2;
const LATE: u8 = 3;
const CHANGED: u8 = 4;
const REFUSED: u8 = 5;

/// The bytes of an answer: format, which answer, the run, its fields in their order.
pub fn encode_answer(answer: &StoreAnswer) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    let mut begin = |word: u8, run: RunId| {
        bytes.push(word);
        bytes.extend(run.0.to_be_bytes());
    };
    match answer {
        StoreAnswer::Read(snapshot) => {
            begin(SNAPSHOT, snapshot.run);
            put_snapshot(&mut bytes, snapshot);
        }
        StoreAnswer::Renew(answer) => match &**answer {
            RenewAnswer::Renewed(Renewed { run, version, secret, since, leases, unreadable }) => {
                begin(RENEWED, *run);
                bytes.extend(version.0.to_be_bytes());
                put_secret(&mut bytes, secret.as_ref());
                bytes.extend(since.0.to_be_bytes());
                put_members(&mut bytes, leases, unreadable);
            }
            RenewAnswer::NotMember { run } => begin(NOT_MEMBER, *run),
            RenewAnswer::Late { run } => begin(LATE, *run),
        },
        StoreAnswer::Change(ChangeAnswer::Changed { run, version }) => {
            begin(CHANGED, *run);
            bytes.extend(version.0.to_be_bytes());
        }
        StoreAnswer::Change(ChangeAnswer::Refused { run, why }) => {
            begin(REFUSED, *run);
            let (code, what) = refusal_code(*why);
            bytes.push(code);
            bytes.extend(what.to_be_bytes());
        }
    }
    bytes
}

fn put_snapshot(bytes: &mut Vec<u8>, snapshot: &Snapshot) {
    let Snapshot { run: _, version, secret, leases, unreadable, homes, vacant } = snapshot;
    bytes.extend(version.0.to_be_bytes());
    put_secret(bytes, secret.as_ref());
    put_members(bytes, leases, unreadable);
    put_list(bytes, homes, |bytes, (shard, home)| {
        bytes.extend(shard.get().to_be_bytes());
        put_home(bytes, *home);
    });
    put_list(bytes, vacant, |bytes, (shard, epoch)| {
        bytes.extend(shard.get().to_be_bytes());
        bytes.extend(encode_epoch(*epoch));
    });
}

fn put_members(bytes: &mut Vec<u8>, leases: &[Lease], unreadable: &[LeaseHead]) {
    put_list(bytes, leases, |bytes, lease| put_value(bytes, &encode_lease(lease)));
    put_list(bytes, unreadable, |bytes, head| put_value(bytes, &encode_head(head)));
}

/// A number for each reason, and the node or shard that it names.
fn refusal_code(why: ChangeRefusal) -> (u8, u64) {
    match why {
        ChangeRefusal::AlreadyMember => (0, 0),
        ChangeRefusal::NotMember => (1, 0),
        ChangeRefusal::Moved(node) => (2, node.get()),
        ChangeRefusal::Full => (3, 0),
        ChangeRefusal::NameTaken => (4, 0),
        ChangeRefusal::EpochDiffers(shard) => (5, shard.get().into()),
        ChangeRefusal::NotNewer(shard) => (6, shard.get().into()),
        ChangeRefusal::NoMember(shard) => (7, shard.get().into()),
        ChangeRefusal::LeftBehind(shard) => (8, shard.get().into()),
    }
}

/// Reads an answer.
///
/// # Errors
/// Says what is wrong with the bytes. The fault of the node that sent them.
pub fn decode_answer(bytes: &[u8]) -> Result<StoreAnswer, ValueFault> {
    let mut reader = ValueReader::up_to(bytes, ANSWER_BYTES_MAX)?;
    reader.own_format()?;
    let word = reader.byte()?;
    let run = RunId(u128::from_be_bytes(reader.array()?));
    Ok(match word {
        SNAPSHOT => StoreAnswer::Read(Box::new(snapshot(run, &mut reader)?)),
        RENEWED => {
            let (version, secret) = (version(&mut reader)?, secret(&mut reader)?);
            let since = self::version(&mut reader)?;
            let (leases, unreadable) = members(&mut reader)?;
            let renewed = Renewed { run, version, secret, since, leases, unreadable };
            StoreAnswer::Renew(Box::new(RenewAnswer::Renewed(renewed)))
        }
        NOT_MEMBER => StoreAnswer::Renew(Box::new(RenewAnswer::NotMember { run })),
        LATE => StoreAnswer::Renew(Box::new(RenewAnswer::Late { run })),
        CHANGED => {
            let version = version(&mut reader)?;
            StoreAnswer::Change(ChangeAnswer::Changed { run, version })
        }
        REFUSED => {
            let why = refusal(&mut reader)?;
            StoreAnswer::Change(ChangeAnswer::Refused { run, why })
        }
        _ => return Err(ValueFault::Field("answer")),
    })
}

fn version(reader: &mut ValueReader<'_>) -> Result<MapVersion, ValueFault> {
    reader.u64().map(MapVersion)
}

fn snapshot(run: RunId, reader: &mut ValueReader<'_>) -> Result<Snapshot, ValueFault> {
    let (version, secret) = (version(reader)?, secret(reader)?);
    let (leases, unreadable) = members(reader)?;
    let homes = reader.list(SHARDS.into(), |reader| Ok((shard(reader)?, home(reader)?)))?;
    let vacant = reader.list(SHARDS.into(), |reader| Ok((shard(reader)?, epoch(reader)?)))?;
    let (homes, vacant) = (BTreeMap::from_iter(homes), BTreeMap::from_iter(vacant));
    Ok(Snapshot { run, version, secret, leases, unreadable, homes, vacant })
}

/// Leases of a format that the sender knows may be of one that we do not.
fn members(reader: &mut ValueReader<'_>) -> Result<(Vec<Lease>, Vec<LeaseHead>), ValueFault> {
    let (mut leases, mut unreadable) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        for stored in reader.list(NODES_MAX, |reader| decode_lease(reader.value()?))? {
            match stored {
                StoredLease::Known(lease) => leases.push(*lease),
                StoredLease::Unknown(head) => unreadable.push(head),
            }
        }
    }
    Ok((leases, unreadable))
}

fn refusal(reader: &mut ValueReader<'_>) -> Result<ChangeRefusal, ValueFault> {
    let (code, what) = (reader.byte()?, reader.u64()?);
    let node = || NodeIncarnation::new(what).ok_or(ValueFault::Field("incarnation"));
    let shard = || {
        let number = u16::try_from(what).ok();
        number.and_then(ShardId::new).ok_or(ValueFault::Field("shard"))
    };
    Ok(match code {
        0 => ChangeRefusal::AlreadyMember,
        1 => ChangeRefusal::NotMember,
        2 => ChangeRefusal::Moved(node()?),
        3 => ChangeRefusal::Full,
        4 => ChangeRefusal::NameTaken,
        5 => ChangeRefusal::EpochDiffers(shard()?),
        6 => ChangeRefusal::NotNewer(shard()?),
        7 => ChangeRefusal::NoMember(shard()?),
        8 => ChangeRefusal::LeftBehind(shard()?),
        _ => return Err(ValueFault::Field("refusal")),
    })
}
