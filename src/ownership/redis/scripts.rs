//! The calls as commands: a script, its keys, its arguments.
//!
//! The whole script goes with each call. That is a few kilobytes every few seconds, and a Redis that was
//! restarted, or has forgotten its scripts, carries the call out all the same.

use redis::Cmd;

use super::params::RedisParams;
use crate::core::ownership::encoding::{
    StoredHome, encode_epoch, encode_home, encode_lease, encode_secret,
};
use crate::core::ownership::{Change, Home, HomeChange, Renew, StoreCall};

const READ: &str = concat!(include_str!("common.lua"), include_str!("read.lua"));
const RENEW: &str = concat!(include_str!("common.lua"), include_str!("renew.lua"));
const RIGHTS: &str = include_str!("rights.lua");
const CHANGE: &str = concat!(include_str!("common.lua"), include_str!("change.lua"));

/// The names of the three hashes. The braces put them into one slot of a cluster.
pub(super) struct Keys {
    pub(super) meta: String,
    pub(super) nodes: String,
    pub(super) shards: String,
}

impl Keys {
    pub(super) fn new(params: &RedisParams) -> Self {
        let key = |name| format!("{}{{cluster}}:{name}", params.prefix);
        Self { meta: key("meta"), nodes: key("nodes"), shards: key("shards") }
    }

    /// The command for a call. `born` is random, for hashes that are not there yet.
    pub(super) fn command(&self, call: &StoreCall, born: u64) -> Cmd {
        let script = match call {
            StoreCall::Read => READ,
            StoreCall::Renew(_) => RENEW,
            StoreCall::Change(_) => CHANGE,
        };
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(3).arg(&self.meta).arg(&self.nodes).arg(&self.shards);
        command.arg(format!("{born:016x}"));
        match call {
            StoreCall::Read => {}
            StoreCall::Renew(renew) => put_renew(&mut command, renew),
            StoreCall::Change(change) => put_change(&mut command, change),
        }
        command
    }

    /// The command that asks which rights are missing.
    pub(super) fn rights(&self) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(RIGHTS).arg(3).arg(&self.meta).arg(&self.nodes).arg(&self.shards);
        command
    }
}

fn put_renew(command: &mut Cmd, renew: &Renew) {
    let Renew { lease, restore, rejoin, secret } = renew;
    command.arg(lease.incarnation.to_string()).arg(encode_lease(lease)).arg(lease.read.0);
    command.arg(u8::from(*rejoin));
    command.arg(secret.as_ref().map_or(Vec::new(), |secret| encode_secret(secret).to_vec()));
    for (shard, epoch) in restore {
        let home = Home { node: lease.incarnation, epoch: *epoch };
        command.arg(shard.get()).arg(encode_home(StoredHome::Home(home)).as_slice());
    }
}

fn put_change(command: &mut Cmd, change: &Change) {
    let Change { by, still, remove, add, homes } = change;
    command.arg(by.to_string());
    match add {
        Some(lease) => command.arg(lease.incarnation.to_string()).arg(encode_lease(lease)),
        None => command.arg("").arg(""),
    };
    command.arg(still.len());
    for (node, counter) in still {
        command.arg(node.to_string()).arg(counter.0.to_be_bytes().as_slice());
    }
    command.arg(remove.len());
    for node in remove {
        command.arg(node.to_string());
    }
    command.arg(homes.len());
    for HomeChange { shard, read, new } in homes {
        let stored = match (new, read) {
            (Some(home), _) => Some(StoredHome::Home(*home)),
            (None, Some(epoch)) => Some(StoredHome::Vacant(*epoch)),
            (None, None) => None,
        };
        command.arg(shard.get());
        command.arg(read.map_or(Vec::new(), |epoch| encode_epoch(epoch).to_vec()));
        command.arg(stored.map_or(Vec::new(), |stored| encode_home(stored).to_vec()));
    }
}
