//! A relay before each node's link port, so that datagrams between two nodes can be lost on purpose.
//!
//! Nodes advertise the relay's port. A node sends from the port at which it listens, so the relay knows
//! by a datagram's source which node sent it. What comes back goes the same way.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The largest datagram of UDP.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;
/// How many ports one relay hears of: nodes, with room for what else dials.
const SOURCES_MAX: usize = 64;

/// Ways between nodes that are cut, as pairs of link ports: from, to.
#[derive(Debug, Clone, Default)]
pub(super) struct Cuts(Arc<Mutex<Vec<(u16, u16)>>>);

impl Cuts {
    /// Cuts these ways and no others.
    pub(super) fn set(&self, ways: Vec<(u16, u16)>) {
        *self.0.lock() = ways;
    }

    fn lets_through(&self, from: u16, to: u16) -> bool {
        !self.0.lock().contains(&(from, to))
    }
}

/// The relay of one node. It ends when this goes.
#[derive(Debug)]
pub(super) struct LinkRelay {
    /// Where others reach the node.
    pub(super) port: u16,
    task: JoinHandle<()>,
}

impl LinkRelay {
    /// Starts one before the node that listens at `node`.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn start(node: u16, cuts: &Cuts) -> io::Result<Self> {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = front.local_addr()?.port();
        let task = tokio::spawn(forward(Arc::new(front), node, cuts.clone()));
        Ok(Self { port, task })
    }
}

impl Drop for LinkRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What was opened for one source. It ends when this goes.
struct Back {
    socket: Arc<UdpSocket>,
    task: JoinHandle<()>,
}

impl Drop for Back {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(front: Arc<UdpSocket>, node: u16, cuts: Cuts) {
    let mut backs: HashMap<SocketAddr, Back> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // An error is of a datagram sent earlier to a port where nothing listens: it is lost.
        let Ok((length, source)) = front.recv_from(&mut buffer).await else { continue };
        if !cuts.lets_through(source.port(), node) {
            continue;
        }
        if !backs.contains_key(&source) {
            if backs.len() >= SOURCES_MAX {
                continue;
            }
            let Ok(back) = open(&front, source, node, &cuts).await else { continue };
            backs.insert(source, back);
        }
        let _: io::Result<usize> = backs[&source].socket.send(&buffer[..length]).await;
    }
}

/// A socket towards the node for what this source sends, and the way back.
async fn open(
    front: &Arc<UdpSocket>,
    source: SocketAddr,
    node: u16,
    cuts: &Cuts,
) -> io::Result<Back> {
    let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    socket.connect((Ipv4Addr::LOCALHOST, node)).await?;
    let (front, cuts, towards_node) = (front.clone(), cuts.clone(), socket.clone());
    let task = tokio::spawn(async move {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let received = towards_node.recv(&mut buffer).await;
            match received {
                Ok(length) if cuts.lets_through(node, source.port()) => {
                    let _: io::Result<usize> = front.send_to(&buffer[..length], source).await;
                }
                Ok(_) => {}
                // The node is away: without a pause this would turn in circles.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(1)).await,
            }
        }
    });
    Ok(Back { socket, task })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// What `of` gets within a moment that is long for a datagram on one machine.
    async fn heard(of: &UdpSocket) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; 16];
        let got = tokio::time::timeout(Duration::from_secs(5), of.recv_from(&mut buffer)).await;
        let (length, source) = got.ok()?.ok()?;
        Some((buffer[..length].to_vec(), source))
    }

    #[tokio::test]
    async fn each_way_can_be_cut_by_itself() {
        let [one, two] = [
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
            UdpSocket::bind("127.0.0.1:0").await.unwrap(),
        ];
        let [one_port, two_port] = [&one, &two].map(|socket| socket.local_addr().unwrap().port());
        let cuts = Cuts::default();
        let relay = LinkRelay::start(two_port, &cuts).await.unwrap();
        let way = (Ipv4Addr::LOCALHOST, relay.port);

        one.send_to(b"there", way).await.unwrap();
        let (said, source) = heard(&two).await.unwrap();
        assert_eq!(said, b"there");
        two.send_to(b"and back", source).await.unwrap();
        assert_eq!(heard(&one).await.unwrap().0, b"and back");

        // What follows a lost datagram shows that it was lost and is not merely late.
        cuts.set(vec![(one_port, two_port)]);
        one.send_to(b"lost", way).await.unwrap();
        two.send_to(b"heard", source).await.unwrap();
        assert_eq!(heard(&one).await.unwrap().0, b"heard");
        cuts.set(vec![(two_port, one_port)]);
        two.send_to(b"lost", source).await.unwrap();
        one.send_to(b"one way", way).await.unwrap();
        assert_eq!(heard(&two).await.unwrap().0, b"one way");
        cuts.set(Vec::new());
        two.send_to(b"whole", source).await.unwrap();
        assert_eq!(heard(&one).await.unwrap().0, b"whole");
    }
}
