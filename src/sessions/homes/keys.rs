//! The key of digests: this process's own, or, in a fleet, the one that its nodes share. It may change while the node
//! runs. Sessions go on with digests by the former key then: what their agents report next counts as changed, and the
//! server is told once more.

use std::ops::Deref;

use parking_lot::RwLockReadGuard;

use super::super::Sessions;
use super::super::contents::with_space;
use super::{HomeSide, Homes};
use crate::opamp::agent::AgentScan;
use crate::opamp::digest::{Digest, DigestKey, Digester};

/// The fleet's key and its id.
#[derive(Debug, Clone)]
pub(in crate::sessions) struct KeyInUse {
    pub(in crate::sessions) digester: Digester,
    pub(in crate::sessions) secret_id: u64,
}

/// The digester, for as long as no other key comes into use.
pub(in crate::sessions) enum DigesterInUse<'a> {
    /// This process's own.
    Own(&'a Digester),
    /// The fleet's.
    Fleet(RwLockReadGuard<'a, KeyInUse>),
}

impl Deref for DigesterInUse<'_> {
    type Target = Digester;

    fn deref(&self) -> &Digester {
        match self {
            Self::Own(digester) => digester,
            Self::Fleet(key) => &key.digester,
        }
    }
}

impl HomeSide<'_> {
    /// From now on digests are taken with this key.
    pub(in crate::sessions) fn set_digest_key(self, digest_key: &DigestKey, secret_id: u64) {
        let volatile = self.sessions.params.volatile.clone();
        let digester = Digester { key: digest_key.clone(), volatile };
        *self.joined.homes.key.write() = KeyInUse { digester, secret_id };
    }
}

impl<'a> DigesterInUse<'a> {
    /// The one in use.
    pub(in crate::sessions) fn of(sessions: &'a Sessions) -> Self {
        match sessions.in_fleet() {
            Some(fleet) => Self::Fleet(fleet.joined.homes.key.read()),
            None => Self::Own(&sessions.digester),
        }
    }
}

impl Homes {
    /// The digests of a message's parts. Returns the id of the fleet's key, with which they are taken.
    pub(in crate::sessions) fn digest_report(
        &self,
        scan: &AgentScan<'_>,
        put: &mut dyn FnMut(u32, Digest),
    ) -> u64 {
        let key = self.key.read();
        with_space(|space| key.digester.report(scan, &mut space.digest, put));
        key.secret_id
    }
}
