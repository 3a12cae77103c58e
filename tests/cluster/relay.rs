//! A relay of UDP datagrams that stands for a network: it loses some, delays them, and cuts either way.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use seawall::cluster::Member;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What happens to datagrams of one direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Way {
    /// All are lost.
    pub(crate) cut: bool,
    /// Of 100 datagrams this many are lost.
    pub(crate) loss_percent: u64,
    /// Each takes this long.
    pub(crate) delay: Duration,
}

#[derive(Debug, Default)]
struct Rules {
    to_node: Way,
    from_node: Way,
    /// The state of a generator of numbers, so that losses are the same in each run.
    random: u64,
}

impl Rules {
    /// How long a datagram takes; `None` of a lost one.
    fn judge(&mut self, way: impl Fn(&Self) -> Way) -> Option<Duration> {
        let way = way(self);
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let is_lost = way.cut || (self.random >> 33) % 100 < way.loss_percent;
        (!is_lost).then_some(way.delay)
    }
}

/// Stands before one node, for all that dial it here.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    rules: Arc<Mutex<Rules>>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(crate) async fn before(node: &Member) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let (address, rules) = (socket.local_addr().unwrap(), Arc::<Mutex<Rules>>::default());
        let task = tokio::spawn(relay(socket, node.address.unwrap(), Arc::clone(&rules)));
        Self { address, rules, task }
    }

    /// The node as others are told to reach it.
    pub(crate) fn of(&self, node: &Member) -> Member {
        Member { address: Some(self.address), ..node.clone() }
    }

    /// Sets both directions.
    pub(crate) fn set(&self, to_node: Way, from_node: Way) {
        let mut rules = self.rules.lock();
        (rules.to_node, rules.from_node) = (to_node, from_node);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(front: Arc<UdpSocket>, node: SocketAddr, rules: Arc<Mutex<Rules>>) {
    let mut dialers: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, from)) = front.recv_from(&mut buffer).await else { continue };
        let back = match dialers.get(&from) {
            Some(back) => Arc::clone(back),
            None => {
                let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
                let (own, front) = (Arc::clone(&back), Arc::clone(&front));
                tokio::spawn(answers(own, front, from, Arc::clone(&rules)));
                dialers.insert(from, Arc::clone(&back));
                back
            }
        };
        if let Some(delay) = rules.lock().judge(|rules| rules.to_node) {
            forward(back, buffer[..length].to_vec(), node, delay);
        }
    }
}

async fn answers(
    back: Arc<UdpSocket>,
    front: Arc<UdpSocket>,
    dialer: SocketAddr,
    rules: Arc<Mutex<Rules>>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, _)) = back.recv_from(&mut buffer).await else { continue };
        if let Some(delay) = rules.lock().judge(|rules| rules.from_node) {
            forward(Arc::clone(&front), buffer[..length].to_vec(), dialer, delay);
        }
    }
}

fn forward(socket: Arc<UdpSocket>, datagram: Vec<u8>, to: SocketAddr, delay: Duration) {
    if delay.is_zero() {
        // A full buffer loses the datagram, as a network does.
        let _ = socket.try_send_to(&datagram, to);
        return;
    }
    tokio::spawn(async move {
        tokio::time::sleep(delay).await;
        let _ = socket.try_send_to(&datagram, to);
    });
}
