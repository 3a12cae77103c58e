//! How many agents the nodes admitted in the best second, as the nodes themselves count it.
//!
//! What agents see says less: a process of the fleet that waits for a processor reads late, and then much at once.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::http;

const SECOND_MS: u64 = 1_000;

/// What nodes have told, by the label of their process. A node that is killed is asked before.
#[derive(Debug, Default)]
pub(super) struct AdmittedByNodes {
    of_nodes: HashMap<String, AdmittedSeries>,
}

/// What a node answers to `/admission/recent`.
#[derive(Debug, Deserialize)]
struct AdmittedSeries {
    first_unix_ms: u64,
    slot_ms: u64,
    admitted: Vec<u32>,
}

impl AdmittedByNodes {
    /// Asks the node with this label at this address.
    ///
    /// # Errors
    /// When it does not answer, or with something else.
    pub(super) async fn ask(&mut self, label: String, url: &str) -> io::Result<()> {
        let series = serde_json::from_slice(&http::fetch(url, None).await?)?;
        self.of_nodes.insert(label, series);
        Ok(())
    }

    /// How many all of them admitted in the best second after this moment. A slot counts as a whole.
    pub(super) fn best_second(&self, since: SystemTime) -> u64 {
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let mut slots: Vec<(u64, u64)> =
            self.of_nodes.values().flat_map(AdmittedSeries::slots).collect();
        slots.retain(|(at, _)| u128::from(*at) >= since.as_millis());
        slots.sort_unstable();
        let within = |from: usize| {
            let end = slots[from].0 + SECOND_MS;
            slots[from..].iter().take_while(|(at, _)| *at < end).map(|(_, count)| count).sum()
        };
        (0..slots.len()).map(within).max().unwrap_or(0)
    }
}

impl AdmittedSeries {
    /// When each slot began in which agents were admitted, in Unix time in milliseconds, and how many.
    fn slots(&self) -> impl Iterator<Item = (u64, u64)> {
        let counts = self.admitted.iter().zip(0_u64..).filter(|(count, _)| **count > 0);
        counts.map(|(count, slot)| (self.first_unix_ms + slot * self.slot_ms, u64::from(*count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(first_unix_ms: u64, admitted: &[u32]) -> AdmittedSeries {
        AdmittedSeries { first_unix_ms, slot_ms: 500, admitted: admitted.to_vec() }
    }

    #[test]
    fn the_best_second_is_that_of_all_nodes_together() {
        let mut admitted = AdmittedByNodes::default();
        assert_eq!(admitted.best_second(SystemTime::UNIX_EPOCH), 0);
        admitted.of_nodes.insert("a".into(), series(1_000, &[1, 5, 0, 2]));
        admitted.of_nodes.insert("b".into(), series(1_600, &[3, 4]));
        let best =
            |since| admitted.best_second(SystemTime::UNIX_EPOCH + Duration::from_millis(since));
        assert_eq!(best(0), 5 + 3 + 4);
        assert_eq!(best(1_600), 3 + 4 + 2, "slots from 1,600 to 2,600");
        assert_eq!(best(2_600), 0);
    }
}
