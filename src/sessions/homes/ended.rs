//! Which links of other homes to servers have ended, as those homes say. A session may come here after its former
//! home has said so, and from a third node.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::core::node_link::LinkEnded;
use crate::core::placement;
use crate::core::session::Peer;
use crate::ident::{Incarnation, InstanceUid, ServerId};

/// Servers of all other homes, and links of one server. What is beyond is not kept: its agents' servers find out with
/// the next heartbeat.
const SERVERS_MAX: usize = 1_024;
const LINKS_MAX: u16 = 1_024;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct EndedLinks(Mutex<HashMap<(Peer, ServerId), UpTo>>);

/// By link: all establishments up to this one.
type UpTo = Vec<Incarnation>;

impl EndedLinks {
    /// A link of `home` has ended.
    pub(super) fn note(&self, home: Peer, ended: LinkEnded) {
        let LinkEnded { link, links, up_to } = ended;
        let all = &mut *self.0.lock();
        let key = (home, link.server);
        let has_room = all.contains_key(&key) || all.len() < SERVERS_MAX;
        if !has_room || links > LINKS_MAX || link.index >= links {
            return;
        }
        let of_server = all.entry(key).or_default();
        // Their number stays the same as long as the node lives.
        of_server.resize(links.into(), Incarnation(0));
        let known = &mut of_server[usize::from(link.index)];
        *known = up_to.max(*known);
    }

    /// Whether this establishment of the link of `home` has ended that was the agent's.
    pub(super) fn has(
        &self,
        home: Peer,
        (uid, server): (InstanceUid, ServerId),
        establishment: Incarnation,
    ) -> bool {
        let all = self.0.lock();
        let Some(of_server) = all.get(&(home, server)) else { return false };
        let links = u16::try_from(of_server.len()).unwrap_or(LINKS_MAX);
        let link = usize::from(placement::link_of(uid, links));
        of_server.get(link).is_some_and(|up_to| establishment <= *up_to)
    }

    /// The node is no member any more, and none of its links is relied upon.
    pub(super) fn forget(&self, home: Peer) {
        self.0.lock().retain(|(known, _), _| *known != home);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ownership::NodeIncarnation;
    use crate::ident::LinkId;

    #[test]
    fn each_link_has_its_own_end() {
        let home = Peer::of(NodeIncarnation::new(5).unwrap());
        let server = ServerId(1);
        let ended = EndedLinks::default();
        let agents: Vec<_> = (0..32).map(|n| InstanceUid::from_bytes([n; 16])).collect();
        let index = placement::link_of(agents[0], 4);
        let end = |up_to| LinkEnded {
            link: LinkId { server, index },
            links: 4,
            up_to: Incarnation(up_to),
        };
        ended.note(home, end(3));
        ended.note(home, end(2));
        for agent in agents {
            let its = placement::link_of(agent, 4) == index;
            assert_eq!(ended.has(home, (agent, server), Incarnation(3)), its);
            assert!(!ended.has(home, (agent, server), Incarnation(4)));
            assert!(!ended.has(home, (agent, ServerId(2)), Incarnation(1)));
        }
        ended.forget(home);
        let agent = InstanceUid::from_bytes([0; 16]);
        assert!(!ended.has(home, (agent, server), Incarnation(1)));
        // What no node says does no harm.
        ended.note(home, LinkEnded { links: 0, ..end(1) });
        assert!(ended.0.lock().is_empty());
    }
}
