//! A node is stopped and goes on.

use std::time::Duration;

use seawall::cluster::LinkEnd;

use crate::nodes::{Node, agent, frame};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_unread_while_a_node_is_stopped_stays_unread() {
    // The only thread of the second node sleeps, as the process would.
    let other =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let one = Node::start(1);
    let two = {
        let _entered = other.enter();
        Node::start(2)
    };
    one.learn([&one.member, &two.member]);
    two.learn([&one.member, &two.member]);
    one.until_reached(&two.member, 1).await;
    two.until_reached(&one.member, 1).await;
    drop(other.spawn(async { std::thread::sleep(Duration::from_millis(2_500)) }));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let link = one.link(&two.member);
    link.send(agent(1), |out| out.extend_from_slice(&frame(1, 0, 500))).unwrap();
    // The link is lost, whichever node notices it first, and another one takes frames.
    let ends = tokio::join!(one.until_lost(&two.member), two.until_lost(&one.member));
    assert!(matches!(ends.1, LinkEnd::Silent | LinkEnd::Reset), "{ends:?}");
    assert_eq!(two.frames(&one.member), [[0; 0]; 0], "it was sent before the link was lost");
    one.until_reached(&two.member, 2).await;
    let link = one.link(&two.member);
    link.send(agent(1), |out| out.extend_from_slice(&frame(1, 1, 500))).unwrap();
    two.until_frames(&one.member, 1).await;
    assert_eq!(two.frames(&one.member), [frame(1, 1, 500)]);
    drop(two);
    other.shutdown_background();
}
