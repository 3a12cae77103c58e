//! What an operator may see of sessions.

use super::entry::SessionEntry;
use super::{SessionInfo, Sessions};
use crate::ident::InstanceUid;

impl Sessions {
    /// One session.
    pub fn info(&self, uid: InstanceUid) -> Option<SessionInfo> {
        self.find(uid).map(|entry| describe(&entry))
    }

    /// Up to `limit` sessions in the order of their uids, from the first after `after` on. Costs a walk over
    /// all uids: for people, who look seldom.
    pub fn list(&self, after: Option<InstanceUid>, limit: usize) -> Vec<SessionInfo> {
        let mut uids: Vec<InstanceUid> = self
            .table
            .iter()
            .map(|entry| *entry.key())
            .filter(|uid| after.is_none_or(|after| *uid > after))
            .collect();
        if uids.len() > limit && limit > 0 {
            uids.select_nth_unstable(limit - 1);
        }
        uids.truncate(limit);
        uids.sort_unstable();
        uids.into_iter().filter_map(|uid| self.info(uid)).collect()
    }
}

fn describe(entry: &SessionEntry) -> SessionInfo {
    let state = entry.peek();
    state.session.info(state.connection_bytes())
}
