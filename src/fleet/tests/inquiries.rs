//! Questions between nodes with real links.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::fleet::{Inquiry, NoAnswer, NodeAnswers};
use crate::ident::InstanceUid;

/// Answers with the inquiry's first byte and a name.
struct Named(&'static str);

impl NodeAnswers for Named {
    fn answer(&self, inquiry: Inquiry) -> Vec<u8> {
        let first = match inquiry {
            Inquiry::Node => 0,
            Inquiry::Session(uid) => uid.as_bytes()[0],
        };
        [&[first], self.0.as_bytes()].concat()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_asked_over_its_link_and_an_answer_is_waited_for_no_longer_than_said() {
    let store = Arc::new(MemoryStore::new());
    let one = TestNode::start(params("one", 1), &store);
    let two = TestNode::start(params("two", 1), &store);
    one.ready().await;
    two.ready().await;
    let other = two.fleet.incarnation();
    one.until("linked", |one| one.notes.noted.lock().reached.contains(&other)).await;
    let ask = |inquiry| Arc::clone(&one.fleet).ask(other, inquiry, PATIENCE);
    assert_eq!(ask(Inquiry::Node).await, Err(NoAnswer::NotUnderstood), "none answers yet");
    let answers: Arc<dyn NodeAnswers> = Arc::new(Named("two"));
    two.fleet.answer_with(Arc::downgrade(&answers));
    assert_eq!(ask(Inquiry::Node).await, Ok(b"\0two".to_vec()));
    let uid = InstanceUid::from_bytes([9; 16]);
    assert_eq!(ask(Inquiry::Session(uid)).await, Ok(b"\x09two".to_vec()));
    let name = one.fleet.name_of(other);
    assert_eq!(name.map(|name| name.to_string()), Some("two".to_owned()));

    // Its task is stopped, and its link is up for a while yet.
    two.task.abort();
    let lost = Arc::clone(&one.fleet).ask(other, Inquiry::Node, Duration::from_millis(200)).await;
    assert!(!matches!(lost, Err(NoAnswer::Busy | NoAnswer::NotUnderstood)), "{lost:?}");
    one.until("the link is lost", |one| one.notes.noted.lock().reached.is_empty()).await;
    assert_eq!(ask(Inquiry::Node).await, Err(NoAnswer::NoLink));
}
