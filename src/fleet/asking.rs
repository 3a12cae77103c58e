//! Asks other nodes, and answers them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::timeout;

use super::control;
use super::inquiry::{Inquiry, NoAnswer, NodeAnswers};
use super::links::control_on;
use super::shared::Fleet;
use crate::cluster::NodeLink;
use crate::core::ownership::NodeIncarnation;

impl Fleet {
    /// Names what answers the other nodes' inquiries. Called at most once: later calls change nothing.
    pub fn answer_with(&self, answers: Weak<dyn NodeAnswers>) {
        let _ = self.answers.set(answers);
    }

    /// Asks another node.
    ///
    /// # Errors
    /// Says why there is no answer.
    pub async fn ask(
        self: Arc<Self>,
        node: NodeIncarnation,
        inquiry: Inquiry,
        within: Duration,
    ) -> Result<Vec<u8>, NoAnswer> {
        let mut open = self.inquiries.open(node).ok_or(NoAnswer::Busy)?;
        let number = open.number;
        if !self.links.send_control(node, |out| control::put_inquiry(number, inquiry, out)) {
            return Err(NoAnswer::NoLink);
        }
        match timeout(within, &mut open.answer).await {
            Err(_) => Err(NoAnswer::Silent(within)),
            Ok(Err(_)) => Err(NoAnswer::LinkLost),
            Ok(Ok(answer)) if answer.is_empty() => Err(NoAnswer::NotUnderstood),
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// Another node asks. `None`: an inquiry that this version does not know.
    pub(super) fn answer(&self, link: &NodeLink, number: u64, inquiry: Option<Inquiry>) {
        let answers = self.answers.get().and_then(Weak::upgrade);
        let answer = match (answers, inquiry) {
            (Some(answers), Some(inquiry)) => answers.answer(inquiry),
            _ => Vec::new(),
        };
        // Without room on the link the other node waits in vain, for as long as it has set itself.
        control_on(link, |out| control::put_answer(number, &answer, out));
    }
}
