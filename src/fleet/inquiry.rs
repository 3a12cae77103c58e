//! What one node asks another for an operator: how it is, and what it knows of one agent. An answer comes within a
//! bounded time, or not at all. What an answer says is for those that ask and answer; here it is bytes.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::core::ownership::NodeIncarnation;
use crate::ident::InstanceUid;

/// Questions that are open at once. An operator's request asks each node once.
const INQUIRIES_MAX: usize = 1_024;

/// What an operator wants to know of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inquiry {
    /// How it is.
    Node,
    /// What it knows of this agent.
    Session(InstanceUid),
}

/// Answers other nodes' inquiries.
pub trait NodeAnswers: Send + Sync + 'static {
    /// The answer. Returns at once: it holds up what comes on the link.
    fn answer(&self, inquiry: Inquiry) -> Vec<u8>;
}

/// Why an inquiry has no answer. Asking again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The network's fault, or the other node's.
    #[error("no node link to it is up")]
    NoLink,
    /// The other node's fault, or the network's.
    #[error("it is linked and does not answer within {0:?}")]
    Silent(Duration),
    /// The link ended while the answer was due.
    #[error("the node link ended before it answered")]
    LinkLost,
    /// This node's limit.
    #[error("this node waits for {INQUIRIES_MAX} answers already")]
    Busy,
    /// The other node's software is of another version.
    #[error("its version of Seawall does not know the inquiry")]
    NotUnderstood,
}

/// The inquiries whose answers are due.
#[derive(Debug, Default)]
pub(super) struct OpenInquiries(Mutex<AllInquiries>);

#[derive(Debug, Default)]
struct AllInquiries {
    last: u64,
    open: HashMap<u64, (NodeIncarnation, oneshot::Sender<Vec<u8>>)>,
}

/// An inquiry that is open for as long as this lives.
pub(super) struct OpenInquiry<'a> {
    pub(super) number: u64,
    all: &'a OpenInquiries,
    pub(super) answer: oneshot::Receiver<Vec<u8>>,
}

impl Drop for OpenInquiry<'_> {
    fn drop(&mut self) {
        self.all.0.lock().open.remove(&self.number);
    }
}

impl OpenInquiries {
    /// Opens an inquiry; `None`: there are too many.
    pub(super) fn open(&self, to: NodeIncarnation) -> Option<OpenInquiry<'_>> {
        let mut all = self.0.lock();
        if all.open.len() >= INQUIRIES_MAX {
            return None;
        }
        all.last += 1;
        let (number, (sender, answer)) = (all.last, oneshot::channel());
        all.open.insert(number, (to, sender));
        Some(OpenInquiry { number, all: self, answer })
    }

    /// An answer has come. One that is late, or from another node than was asked, is dropped.
    pub(super) fn answered(&self, from: NodeIncarnation, number: u64, answer: Vec<u8>) {
        let mut all = self.0.lock();
        if all.open.get(&number).is_some_and(|(asked, _)| *asked == from)
            && let Some((_, sender)) = all.open.remove(&number)
        {
            let _ = sender.send(answer);
        }
    }

    /// The link to a node is lost, and with it what it had yet to answer.
    pub(super) fn lost(&self, node: NodeIncarnation) {
        self.0.lock().open.retain(|_, (asked, _)| *asked != node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u64) -> NodeIncarnation {
        NodeIncarnation::new(number).unwrap()
    }

    #[test]
    fn the_node_that_was_asked_answers_once() {
        let all = OpenInquiries::default();
        let mut first = all.open(node(2)).unwrap();
        let mut second = all.open(node(2)).unwrap();
        all.answered(node(3), first.number, vec![3]);
        assert!(first.answer.try_recv().is_err(), "another node's word");
        all.answered(node(2), first.number, vec![1]);
        all.answered(node(2), first.number, vec![2]);
        assert_eq!(first.answer.try_recv(), Ok(vec![1]));
        all.lost(node(3));
        assert_eq!(second.answer.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        all.lost(node(2));
        assert_eq!(second.answer.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }

    #[test]
    fn open_inquiries_are_bounded_and_end_with_those_that_ask() {
        let all = OpenInquiries::default();
        let open: Vec<_> = (0..INQUIRIES_MAX).map(|_| all.open(node(2)).unwrap()).collect();
        assert!(all.open(node(2)).is_none());
        drop(open);
        assert!(all.0.lock().open.is_empty() && all.open(node(2)).is_some());
    }
}
