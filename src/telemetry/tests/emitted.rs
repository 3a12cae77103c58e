//! Every value of a label is emitted somewhere: a value that only its declaration mentions would show
//! operators a series that stays at 0 for ever.

use std::any::type_name;
use std::fmt::Debug;
use std::fs;
use std::path::Path;

use super::super::label::Label;
use super::super::labels::{cluster, edge, fleet, fronts, homes, sessions, upstream};
use super::super::names::Metric;
use crate::core::admission::{Limit, Outcome};
use crate::core::drain::DrainPhase;
use crate::core::http_mode::PostResult;
use crate::core::link::LossReason;
use crate::core::node_link::{CloseOrder, NodeMessageKind};
use crate::core::ownership::HoldReason;
use crate::core::pacing::Class;
use crate::core::peer_link::LinkEnd;
use crate::core::rebalance::RebalanceEnd;
use crate::core::server::Blame;
use crate::core::session::{CustomLoss, EndReason, OfferLoss, Replier};
use crate::opamp::server::ErrorKind;

/// The code of src/ that runs in production, apart from the declarations of labels.
fn production(folder: &Path, code: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !matches!(name.as_str(), "tests" | "labels") {
            production(&path, code);
        } else if name.ends_with(".rs") && !name.contains("tests") {
            let text = fs::read_to_string(&path).unwrap();
            code.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
        }
    }
}

/// Whether the code makes a value of this name: a pattern of a `match` only reads one.
fn is_made(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], code[at + name.len()..].trim_start());
        let is_name = before.ends_with(|c: char| !c.is_alphanumeric() && c != '_')
            && !code[at + name.len()..].starts_with(|c: char| c.is_alphanumeric());
        is_name && !after.starts_with("=>") && !after.starts_with('|')
    })
}

struct Found {
    code: String,
    /// The values of every label looked at, as the exposition has them.
    values: Vec<Vec<&'static str>>,
    missing: Vec<String>,
}

impl Found {
    fn check<L: Label + Debug>(&mut self) {
        self.values.push(L::ALL.iter().map(|value| value.as_str()).collect());
        let own = type_name::<L>().rsplit("::").next().unwrap();
        for value in L::ALL {
            let shown = format!("{value:?}");
            // `Refused(NoRoom)` is made of a `Reason::NoRoom`, `Passed(Session)` of a `PassReason::Session`.
            let name = match shown.split_once('(') {
                Some((of, reason)) => {
                    let kind = if of == "Passed" { "PassReason" } else { "Reason" };
                    format!("{kind}::{}", reason.trim_end_matches(')'))
                }
                None => format!("{own}::{shown}"),
            };
            if !is_made(&self.code, &name) {
                self.missing.push(name);
            }
        }
    }
}

#[test]
fn every_value_of_a_label_is_emitted() {
    let mut code = String::new();
    production(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    let mut found = Found { code, values: Vec::new(), missing: Vec::new() };
    found.check::<edge::Transport>();
    found.check::<edge::CloseReason>();
    found.check::<edge::RefuseReason>();
    found.check::<edge::MessageFault>();
    found.check::<edge::SharedAgentEnd>();
    found.check::<edge::SendKind>();
    found.check::<edge::AcceptError>();
    found.check::<sessions::SessionState>();
    found.check::<sessions::HeartbeatRoute>();
    found.check::<homes::FrameOutcome>();
    found.check::<homes::PassOutcome>();
    found.check::<upstream::DialResult>();
    found.check::<cluster::NodeDialResult>();
    found.check::<cluster::NodeAcceptResult>();
    found.check::<cluster::FrameRefusal>();
    found.check::<fronts::HomeFrame>();
    found.check::<CloseOrder>();
    found.check::<NodeMessageKind>();
    found.check::<HoldReason>();
    found.check::<homes::AttachmentEvent>();
    found.check::<fleet::HandOverResult>();
    found.check::<fleet::StoreCallKind>();
    found.check::<fleet::StandingLabel>();
    found.check::<fleet::StoreCallResult>();
    found.check::<fleet::ShardStep>();
    found.check::<LinkEnd>();
    found.check::<LossReason>();
    found.check::<PostResult>();
    found.check::<Blame>();
    found.check::<Limit>();
    found.check::<Outcome>();
    found.check::<DrainPhase>();
    found.check::<RebalanceEnd>();
    found.check::<EndReason>();
    found.check::<Replier>();
    found.check::<OfferLoss>();
    found.check::<CustomLoss>();
    found.check::<ErrorKind>();
    found.check::<Class>();
    assert!(found.missing.is_empty(), "nothing emits {:?}", found.missing);
    for metric in Metric::ALL {
        for (key, values) in metric.labels().into_iter().filter(|(_, values)| !values.is_empty()) {
            assert!(found.values.contains(&values), "{key}: {values:?} is not in this test's list");
        }
    }
}

#[test]
fn a_value_that_is_only_read_is_not_made() {
    let code = "match x { Colour::Red => 1, Colour::Green | Colour::Blue => 2 } f(Colour::Blue)";
    let made = ["Colour::Red", "Colour::Green", "Colour::Blue"].map(|name| is_made(code, name));
    assert_eq!(made, [false, false, true]);
}
