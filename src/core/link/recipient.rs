//! The agent that a server's message is for (R7).

use crate::ident::InstanceUid;

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipient {
    /// To this agent.
    Agent(InstanceUid),
    /// It names this agent, and came another agent's way: it is dropped.
    Foreign(InstanceUid),
    /// It came on a shared link and names no agent. Acknowledgements and errors of some servers come
    /// so, and concern all agents; anything else was meant for one agent, and is dropped.
    Unaddressed,
}

/// `only`: the one agent that it can be for, which is the link's owner or the one whose request the
/// message answers. `named`: the uid in the message.
pub fn recipient(only: Option<InstanceUid>, named: Option<InstanceUid>) -> Recipient {
    match (only, named) {
        (Some(only), Some(named)) if only != named => Recipient::Foreign(named),
        (_, Some(uid)) | (Some(uid), None) => Recipient::Agent(uid),
        (None, None) => Recipient::Unaddressed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_one_agents_way_reaches_that_agent_alone() {
        let (one, other) = (InstanceUid::from_bytes([1; 16]), InstanceUid::from_bytes([2; 16]));
        for (only, named, expected) in [
            (None, Some(one), Recipient::Agent(one)),
            (Some(one), None, Recipient::Agent(one)),
            (Some(one), Some(one), Recipient::Agent(one)),
            (Some(one), Some(other), Recipient::Foreign(other)),
            (None, None, Recipient::Unaddressed),
        ] {
            assert_eq!(recipient(only, named), expected);
        }
    }
}
