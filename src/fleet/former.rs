//! The nodes that may be linked: the members, and for a lease time those that were members until then. Two masters of
//! the store may each have members that the other one has lost. Such nodes must go on hearing each other, for that is
//! how they find out.
//!
//! A link to a former member stays, and one that it dials is taken; it is not dialled, for most have ended.

use std::time::Instant;

use crate::cluster::{Member, Members};
use crate::core::ownership::NodeIncarnation;

/// More former members than this are not known, the first ones of them.
const FORMER_MAX: usize = 64;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct MayLink {
    members: Vec<Member>,
    /// With the moment until which each is known.
    former: Vec<(Member, Instant)>,
}

impl MayLink {
    /// The members are these now.
    pub(super) fn follow(&mut self, members: Vec<Member>, until: Instant) {
        let is_among = |all: &[Member], node: NodeIncarnation| {
            all.iter().any(|member| member.incarnation == node)
        };
        self.former.retain(|(member, _)| !is_among(&members, member.incarnation));
        let before = std::mem::replace(&mut self.members, members);
        let gone = before.into_iter().filter(|it| !is_among(&self.members, it.incarnation));
        self.former.extend(gone.map(|member| (Member { address: None, ..member }, until)));
        let surplus = self.former.len().saturating_sub(FORMER_MAX);
        self.former.drain(..surplus);
    }

    /// Forgets former members whose time is over.
    pub(super) fn forget(&mut self, now: Instant) {
        self.former.retain(|(_, until)| now < *until);
    }

    /// All of them.
    pub(super) fn all(&self) -> Members {
        self.members.iter().chain(self.former.iter().map(|(member, _)| member)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::ownership::{CertificateFingerprint, NodeName};

    fn member(number: u64) -> Member {
        Member {
            name: NodeName::try_new("a").unwrap(),
            incarnation: NodeIncarnation::new(number).unwrap(),
            address: Some("127.0.0.1:1".parse().unwrap()),
            fingerprint: CertificateFingerprint([7; 32]),
        }
    }

    fn known(may: &MayLink) -> Vec<(u64, bool)> {
        let shown = |member: &Member| (member.incarnation.get(), member.address.is_some());
        may.all().iter().map(shown).collect()
    }

    #[test]
    fn a_former_member_is_known_for_a_while_and_not_dialled() {
        let now = crate::clock::now();
        let later = now + Duration::from_secs(3);
        let mut may = MayLink::default();
        may.follow(vec![member(1), member(2)], now);
        may.follow(vec![member(1), member(3)], later);
        assert_eq!(known(&may), [(1, true), (3, true), (2, false)]);
        may.forget(now + Duration::from_secs(2));
        assert_eq!(known(&may).len(), 3);
        may.follow(vec![member(1), member(2)], later);
        assert_eq!(known(&may), [(1, true), (2, true), (3, false)], "it is back");
        may.forget(later);
        assert_eq!(known(&may), [(1, true), (2, true)]);
    }

    #[test]
    fn of_many_former_members_the_latest_are_known() {
        let now = crate::clock::now();
        let mut may = MayLink::default();
        may.follow((1..=100).map(member).collect(), now);
        may.follow(Vec::new(), now + Duration::from_secs(1));
        assert_eq!(known(&may).len(), FORMER_MAX);
        assert_eq!(known(&may).last(), Some(&(100, false)));
    }
}
