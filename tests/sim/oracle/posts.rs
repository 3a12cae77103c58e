//! Mode `http`: messages are posted one at a time and in order. A refused one is past, one that the server
//! put off goes again as it is, and during a pause the channel is silent.

use std::collections::BTreeMap;

use seawall::core::http_mode::Answered;

use super::Oracle;
use crate::status::Report;
use crate::wires::Key;
use crate::world::{NodeKey, Time};

/// What was posted.
#[derive(Debug, Default)]
pub(super) struct Posts {
    /// Messages that a server has put off, or has yet to see: each goes before all others of its channel.
    owed: BTreeMap<Key, Report>,
    /// By node: an agent that was not told may say it again, at another one.
    refused: Vec<(NodeKey, Report)>,
    /// What waits at each channel, in its order.
    waiting: BTreeMap<Key, Vec<Report>>,
}

/// A message on its way to a server of mode `http`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Post<'a> {
    pub(crate) report: &'a Report,
    /// Until when the server has asked this node for a pause.
    pub(crate) paused_until: Option<Time>,
}

impl Oracle {
    /// A message waits at a channel.
    pub(crate) fn queued(&mut self, key: Key, report: &Report) {
        self.posts.waiting.entry(key).or_default().push(*report);
    }

    /// A message is posted. `paused_until`: what the server has asked this node for.
    pub(crate) fn posts(&mut self, (node, key): (NodeKey, Key), post: Post<'_>, now: Time) {
        let Post { report, paused_until } = post;
        let agent = report.agent;
        if paused_until.is_some_and(|until| now < until) {
            self.fail("http", || {
                format!("agent {agent} is spoken of in a pause of {paused_until:?}")
            });
        }
        let waiting = self.posts.waiting.entry(key).or_default();
        let place = waiting.iter().position(|waits| waits == report);
        let before: Vec<Report> =
            place.map_or_else(Vec::new, |place| waiting.drain(..=place).collect());
        let overtaken = before.iter().rfind(|waits| waits.agent == agent && *waits != report);
        if let Some(overtaken) = overtaken {
            self.fail("http", || {
                format!("#{} of {agent} goes before {overtaken:?}", report.number)
            });
        }
        let owed = self.posts.owed.remove(&key);
        let again = self.posts.refused.contains(&(node, *report));
        if owed.is_some_and(|owed| owed != *report) {
            self.fail("http", || format!("#{} of {agent} goes before {owed:?}", report.number));
        }
        if again {
            self.fail("http", || format!("#{} of {agent} goes again, refused", report.number));
        }
        if self.seen((node, agent)).handover.is_released() && !report.disconnects {
            self.fail("drain", || format!("agent {agent} is spoken of, having been let go"));
        }
    }

    /// A message was answered.
    pub(crate) fn post_answered(
        &mut self,
        (node, key): (NodeKey, Key),
        report: &Report,
        answered: Answered,
    ) {
        match answered {
            Answered::Status { status: 429 | 503, .. } | Answered::Unsent => {
                self.posts.owed.insert(key, *report);
                self.posts.waiting.entry(key).or_default().insert(0, *report);
            }
            Answered::Status { status: 400 | 413, .. } => {
                self.posts.refused.push((node, *report));
            }
            _ => {}
        }
    }

    /// A channel's queue is emptied.
    pub(crate) fn queue_emptied(&mut self, key: Key) {
        self.posts.owed.remove(&key);
        self.posts.waiting.remove(&key);
    }

    /// What became of a message is unknown, or it is known to be lost.
    pub(crate) fn not_taken(&mut self, at: (NodeKey, usize), server: usize, report: &Report) {
        self.lost_on_link(at.0, server, report);
        let seen = self.seen(at);
        seen.mirror.doubt();
        seen.heartbeats.forget();
    }

    /// A server refuses a message for what it says: its agent is told, and it stays untold.
    pub(crate) fn message_refused(&mut self, at: (NodeKey, usize), server: usize, report: &Report) {
        self.not_taken(at, server, report);
        if !report.status.is_empty() {
            self.agents[at.1].overtaken = true;
        }
    }
}
