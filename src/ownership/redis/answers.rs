//! The scripts' answers, read. Every value is checked: another program may have written it.

use std::collections::BTreeMap;

use redis::Value;
use twox_hash::XxHash3_128;

use super::scripts::Keys;
use crate::core::ownership::encoding::{
    StoredHome, StoredLease, ValueFault, decode_home, decode_lease, decode_secret,
};
use crate::core::ownership::{
    ChangeAnswer, ChangeRefusal, Epoch, Home, Lease, LeaseHead, MapVersion, NODES_MAX,
    NodeIncarnation, RenewAnswer, Renewed, RunId, SHARDS, Secret, ShardId, Snapshot, StoreAnswer,
    StoreCall,
};
use crate::ownership::store::{StoreError, StoreRefusal};

/// Reads the answer to a call.
pub(super) fn read(keys: &Keys, call: &StoreCall, value: Value) -> Result<StoreAnswer, StoreError> {
    let mut answer = ScriptAnswer::new(keys, value)?;
    let word = answer.text("word")?;
    match (call, word.as_str()) {
        (StoreCall::Read, "read") => Ok(StoreAnswer::Read(Box::new(answer.snapshot()?))),
        (StoreCall::Renew(_), word) => Ok(StoreAnswer::Renew(Box::new(answer.renewal(word)?))),
        (StoreCall::Change(_), word) => Ok(StoreAnswer::Change(answer.change(word)?)),
        (StoreCall::Read, _) => Err(answer.strange("word")),
    }
}

/// What is left of an answer.
struct ScriptAnswer<'a> {
    keys: &'a Keys,
    run: RunId,
    parts: std::vec::IntoIter<Value>,
}

/// ScriptMembers as they are stored.
#[derive(Default)]
struct ScriptMembers {
    leases: Vec<Lease>,
    unreadable: Vec<LeaseHead>,
}

/// The map as it is stored.
#[derive(Default)]
struct Map {
    homes: BTreeMap<ShardId, Home>,
    vacant: BTreeMap<ShardId, Epoch>,
}

impl<'a> ScriptAnswer<'a> {
    fn new(keys: &'a Keys, value: Value) -> Result<Self, StoreError> {
        let parts = match value {
            Value::Array(parts) => parts.into_iter(),
            _ => Vec::new().into_iter(),
        };
        let mut answer = Self { keys, run: RunId(0), parts };
        answer.run = RunId(XxHash3_128::oneshot(&answer.bytes("run")?));
        let shards = answer.text("shards")?;
        if shards != SHARDS.to_string() {
            let said = format!(
                "{} is of a fleet with {shards} shards; this version has {SHARDS}",
                keys.meta
            );
            return Err(StoreError::Refused { why: StoreRefusal::OtherFleet, said });
        }
        Ok(answer)
    }

    fn strange(&self, what: &'static str) -> StoreError {
        corrupt(&self.keys.meta, "answer", ValueFault::Field(what))
    }

    fn next(&mut self, what: &'static str) -> Result<Value, StoreError> {
        self.parts.next().ok_or_else(|| self.strange(what))
    }

    fn bytes(&mut self, what: &'static str) -> Result<Vec<u8>, StoreError> {
        match self.next(what)? {
            Value::BulkString(bytes) => Ok(bytes),
            _ => Err(self.strange(what)),
        }
    }

    fn text(&mut self, what: &'static str) -> Result<String, StoreError> {
        String::from_utf8(self.bytes(what)?).map_err(|_| self.strange(what))
    }

    fn version(&mut self) -> Result<MapVersion, StoreError> {
        // Of the highest version there is no next one: no node would hear of a change.
        let version = self.text("version")?.parse().ok().map(MapVersion);
        let version = version.filter(|version| *version < MapVersion::MAX);
        version.ok_or_else(|| corrupt(&self.keys.meta, "version", ValueFault::Field("number")))
    }

    fn secret(&mut self) -> Result<Option<Secret>, StoreError> {
        let bytes = self.bytes("secret")?;
        if bytes.is_empty() {
            return Ok(None);
        }
        decode_secret(&bytes).map_err(|fault| corrupt(&self.keys.meta, "secret", fault))
    }

    /// Pairs of field and value, `max` at most.
    fn pairs(
        &mut self,
        what: &'static str,
        max: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let Value::Array(values) = self.next(what)? else { return Err(self.strange(what)) };
        if values.len() > 2 * max {
            return Err(self.strange(what));
        }
        let mut values = values.into_iter();
        let mut pairs = Vec::new();
        while let (Some(field), Some(value)) = (values.next(), values.next()) {
            let (Value::BulkString(field), Value::BulkString(value)) = (field, value) else {
                return Err(self.strange(what));
            };
            pairs.push((String::from_utf8_lossy(&field).into_owned(), value));
        }
        Ok(pairs)
    }

    fn members(&mut self) -> Result<ScriptMembers, StoreError> {
        let mut members = ScriptMembers::default();
        for (field, bytes) in self.pairs("nodes", NODES_MAX)? {
            let wrong = |fault| corrupt(&self.keys.nodes, &field, fault);
            let stored = decode_lease(&bytes).map_err(wrong)?;
            let incarnation = match &stored {
                StoredLease::Known(lease) => lease.incarnation,
                StoredLease::Unknown(head) => head.incarnation,
            };
            if incarnation.to_string() != field {
                return Err(wrong(ValueFault::Field("incarnation")));
            }
            match stored {
                StoredLease::Known(lease) => members.leases.push(*lease),
                StoredLease::Unknown(head) => members.unreadable.push(head),
            }
        }
        members.leases.sort_by_key(|lease| lease.incarnation);
        members.unreadable.sort_by_key(|head| head.incarnation);
        Ok(members)
    }

    fn map(&mut self) -> Result<Map, StoreError> {
        let mut map = Map::default();
        for (field, bytes) in self.pairs("shards", SHARDS.into())? {
            let wrong = |fault| corrupt(&self.keys.shards, &field, fault);
            let shard = shard(&field).ok_or_else(|| wrong(ValueFault::Field("shard")))?;
            match decode_home(&bytes).map_err(wrong)? {
                StoredHome::Home(home) => drop(map.homes.insert(shard, home)),
                StoredHome::Vacant(epoch) => drop(map.vacant.insert(shard, epoch)),
            }
        }
        Ok(map)
    }

    fn snapshot(mut self) -> Result<Snapshot, StoreError> {
        let (run, version, secret) = (self.run, self.version()?, self.secret()?);
        let ScriptMembers { leases, unreadable } = self.members()?;
        let Map { homes, vacant } = self.map()?;
        Ok(Snapshot { run, version, secret, leases, unreadable, homes, vacant })
    }

    fn renewal(mut self, word: &str) -> Result<RenewAnswer, StoreError> {
        let run = self.run;
        match word {
            "stranger" => return Ok(RenewAnswer::NotMember { run }),
            "late" => return Ok(RenewAnswer::Late { run }),
            "renewed" => {}
            _ => return Err(self.strange("word")),
        }
        let (version, secret) = (self.version()?, self.secret()?);
        let ScriptMembers { leases, unreadable } = self.members()?;
        let since = self.version()?;
        Ok(RenewAnswer::Renewed(Renewed { run, version, secret, since, leases, unreadable }))
    }

    fn change(mut self, word: &str) -> Result<ChangeAnswer, StoreError> {
        let run = self.run;
        match word {
            "changed" => Ok(ChangeAnswer::Changed { run, version: self.version()? }),
            "refused" => {
                let (why, what) = (self.text("why")?, self.text("what")?);
                let why = refusal(&why, &what).ok_or_else(|| self.strange("why"))?;
                Ok(ChangeAnswer::Refused { run, why })
            }
            _ => Err(self.strange("word")),
        }
    }
}

fn refusal(why: &str, what: &str) -> Option<ChangeRefusal> {
    let node = || u64::from_str_radix(what, 16).ok().and_then(NodeIncarnation::new);
    Some(match why {
        "already-member" => ChangeRefusal::AlreadyMember,
        "not-member" => ChangeRefusal::NotMember,
        "moved" => ChangeRefusal::Moved(node()?),
        "full" => ChangeRefusal::Full,
        "name-taken" => ChangeRefusal::NameTaken,
        "epoch-differs" => ChangeRefusal::EpochDiffers(shard(what)?),
        "not-newer" => ChangeRefusal::NotNewer(shard(what)?),
        "no-member" => ChangeRefusal::NoMember(shard(what)?),
        "left-behind" => ChangeRefusal::LeftBehind(shard(what)?),
        _ => return None,
    })
}

fn shard(text: &str) -> Option<ShardId> {
    text.parse().ok().and_then(ShardId::new)
}

fn corrupt(key: &str, field: &str, fault: ValueFault) -> StoreError {
    StoreError::Corrupt { key: key.to_owned(), field: field.to_owned(), fault }
}
