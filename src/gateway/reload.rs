//! SIGHUP: the configuration is read again. What can change while the node runs changes; the rest is named. A
//! configuration with a mistake changes nothing.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::config::{self, Config, WrittenKeys};
use crate::edge::Edge;
use crate::telemetry::logging::Logging;
use crate::upstream::Upstream;

/// Orders that wait at one time. No operator signals faster than they are carried out.
const ORDERS_MAX: usize = 4;
/// The key of what is logged.
const LOG_LEVEL: &str = "log.level";
/// The key of the admission rate.
const RATE: &str = "admission.rate";
/// The keys of servers' pace.
const PACE: [&str; 2] = ["upstream.pace_max", "upstream.pace_min"];

/// What a running gateway is to change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Order {
    /// Another admission rate; the inner one is empty for an automatic rate.
    rate: Option<Option<NonZeroU32>>,
    /// The highest and the lowest pace towards each server.
    pace: Option<(NonZeroU32, NonZeroU32)>,
}

/// Where a running gateway hears of another configuration.
#[derive(Debug)]
pub struct Orders(mpsc::Receiver<Order>);

/// Reads the configuration again.
#[derive(Debug)]
pub struct Reloader {
    file: Option<PathBuf>,
    /// What the gateway runs with.
    running: WrittenKeys,
    orders: mpsc::Sender<Order>,
}

impl Reloader {
    /// Of a gateway that starts with this text of `file`, and the one end of what it is told.
    pub fn new(file: Option<&Path>, running: WrittenKeys) -> (Self, Orders) {
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        (Self { file: file.map(Path::to_owned), running, orders }, Orders(received))
    }

    /// Reads the configuration again, and says what came of it.
    pub fn reload(&mut self, logging: &Logging) {
        let variables = config::variables();
        let (config, written) = match config::load(self.file.as_deref(), &variables) {
            Ok(loaded) => loaded,
            Err(mistakes) => {
                for mistake in &mistakes.0 {
                    error!(mistake = mistake.to_string(), "mistake in the configuration");
                }
                error!(mistakes = mistakes.0.len(), "SIGHUP: nothing changes");
                return;
            }
        };
        let keys = self.running.differing(&written);
        let (order, level, rest) = split(&config, &keys);
        if level && let Err(error) = logging.set_level(&config.log.level) {
            error!(error, "SIGHUP: the log's level stays as it was");
        }
        if order != Order::default() && self.orders.try_send(order).is_err() {
            error!("SIGHUP: the last one is still carried out; signal again");
            return;
        }
        let changed: Vec<&str> =
            keys.iter().filter(|key| !rest.contains(key)).map(String::as_str).collect();
        if changed.is_empty() {
            info!("SIGHUP: no key that can change while Seawall runs has changed");
        } else {
            info!(changed = changed.join(", "), "SIGHUP: the configuration was read again");
        }
        info!("tokens in headers_from_file and authorities in ca_file are read at each dial");
        if !rest.is_empty() {
            let keys = rest.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
            warn!(keys, "SIGHUP: these keys change with a restart only");
        }
        self.running = self.running.with(&written, &changed);
    }
}

/// What can change now, whether the log is part of that, and the keys that cannot.
fn split<'a>(config: &Config, keys: &'a [String]) -> (Order, bool, Vec<&'a String>) {
    let has = |key: &str| keys.iter().any(|changed| changed == key);
    let order = Order {
        rate: has(RATE).then_some(config.edge.admission.rate),
        pace: PACE
            .iter()
            .any(|key| has(key))
            .then_some((config.upstream.pace_max, config.upstream.pace_min)),
    };
    let lives = |key: &str| key == LOG_LEVEL || key == RATE || PACE.contains(&key);
    let rest = keys.iter().filter(|key| !lives(key)).collect();
    (order, has(LOG_LEVEL), rest)
}

/// Carries out what the gateway is told, for as long as it runs.
pub(super) async fn follow(Orders(mut orders): Orders, edge: Arc<Edge>, upstream: Arc<Upstream>) {
    while let Some(Order { rate, pace }) = orders.recv().await {
        if let Some(rate) = rate {
            edge.set_admission_rate(rate);
        }
        if let Some((most, least)) = pace {
            upstream.set_pace(most, least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_at_once_is_told_from_what_needs_a_restart() {
        let text = "[admission]\nrate = 7\n[upstream]\npace_min = 3\n\
                    [[upstream.servers]]\nurl = \"ws://a.example\"\n";
        let config = config::parse(text, &[]).unwrap();
        let keys = ["admission.rate", "edge.listen[0]", "log.level", "upstream.pace_min"];
        let keys = keys.map(str::to_owned);
        let (order, level, rest) = split(&config, &keys);
        let rate = NonZeroU32::new(7);
        let pace = (config.upstream.pace_max, NonZeroU32::new(3).unwrap());
        assert_eq!(order, Order { rate: Some(rate), pace: Some(pace) });
        assert!(level);
        assert_eq!(rest, ["edge.listen[0]"]);
        assert_eq!(split(&config, &[]), (Order::default(), false, Vec::new()));
    }
}
