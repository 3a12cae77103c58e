//! The key of digests: this process's own, or, in a fleet, the one that its nodes share. It may change while the node
//! runs. Sessions go on with digests by the former key then: what their agents report next counts as changed, and the
//! server is told once more.

use std::ops::Deref;

use parking_lot::RwLockReadGuard;

use super::super::Sessions;
use super::super::contents::with_space;
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

impl Sessions {
    /// From now on digests are taken with this key, which all nodes of the fleet share. Without a fleet the
    /// process has a key of its own, and this changes nothing.
    pub fn set_digest_key(&self, digest_key: DigestKey, secret_id: u64) {
        if let Some(joined) = self.joined() {
            let digester = Digester { key: digest_key, volatile: self.params.volatile.clone() };
            *joined.homes.key.write() = KeyInUse { digester, secret_id };
        }
    }

    pub(in crate::sessions) fn digester(&self) -> DigesterInUse<'_> {
        match self.joined() {
            Some(joined) => DigesterInUse::Fleet(joined.homes.key.read()),
            None => DigesterInUse::Own(&self.digester),
        }
    }

    /// The digests of a message's parts. Returns the id of the fleet's key, with which they are taken.
    pub(in crate::sessions) fn digest_report(
        &self,
        scan: &AgentScan<'_>,
        put: &mut dyn FnMut(u32, Digest),
    ) -> u64 {
        let digester = self.digester();
        with_space(|space| digester.report(scan, &mut space.digest, put));
        match &digester {
            DigesterInUse::Own(_) => 0,
            DigesterInUse::Fleet(key) => key.secret_id,
        }
    }
}
