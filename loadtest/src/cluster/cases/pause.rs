//! A node is stopped for so long that others take its shards, and goes on.

use std::io;

use seawall::clock;
use serde_json::Value;

use super::super::args::ClusterArgs;
use super::super::scene::Scene;
use super::{Happened, VICTIM, connected_since};

/// Lets it happen, and counts what the node says on links of before.
///
/// # Errors
/// When a process ends by itself, or the harness fails.
pub(super) async fn pause(scene: &mut Scene, args: &ClusterArgs) -> io::Result<Happened> {
    let label = scene.nodes[VICTIM].label();
    scene.nodes[VICTIM].hang(true)?;
    scene.tell_serving(Some(VICTIM)).await?;
    tokio::time::sleep(args.lease.0 * 3).await;
    let asleep = scene.links().await?;
    scene.nodes[VICTIM].hang(false)?;
    let woken_at = clock::now();
    scene.tell_serving(None).await?;
    tokio::time::sleep(args.lease.0.max(args.aftermath.hold.0)).await;
    let awake = scene.links().await?;
    let woken = Some(["words", "own_accord"].map(|key| words_since(&asleep, &awake, &label, key)));
    let mut happened = Happened { woken, acted_on: vec![VICTIM], ..Happened::default() };
    connected_since(scene, args, woken_at, &mut happened).await?;
    Ok(happened)
}

/// How many words of this kind the old links of one node brought between two looks at all links. Links
/// that were opened after the first look are of another incarnation, and may speak.
fn words_since(before: &[Value], after: &[Value], label: &str, key: &str) -> u64 {
    let count = |link: &Value| link[key].as_u64().unwrap_or(0);
    let own = before.iter().filter(|link| link["node"] == label);
    own.filter_map(|old| {
        let now = after.iter().find(|now| now["link"] == old["link"])?;
        Some(count(now).saturating_sub(count(old)))
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_node_says_on_its_old_links_is_counted() {
        let link = |link: u64, node: &str, own_accord: u64| json!({"link": link, "node": node, "own_accord": own_accord});
        let before = [link(1, "node-1.1", 5), link(2, "node-1.1", 0), link(3, "node-2.1", 1)];
        let after = [
            link(1, "node-1.1", 7),
            link(2, "node-1.1", 1),
            link(3, "node-2.1", 9),
            link(4, "node-1.1", 100),
        ];
        assert_eq!(words_since(&before, &after, "node-1.1", "own_accord"), 3);
        assert_eq!(words_since(&before, &before, "node-1.1", "own_accord"), 0);
    }
}
