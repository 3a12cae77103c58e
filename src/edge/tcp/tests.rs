//! What is there is read and what there is room for is written without the runtime; all else waits for it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::edge::listen::watched;

/// Both ends of a connection; a nonblocking one is the agent's.
async fn pair() -> (AgentTcp, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let listener = watched(listener).unwrap();
    let (socket, from) = AgentTcp::accept(&listener).await.unwrap();
    assert_eq!(from, peer.local_addr().unwrap());
    (socket, peer)
}

fn is_watched(socket: &AgentTcp) -> bool {
    matches!(socket.0, Watch::Watched(_))
}

async fn read(socket: &mut AgentTcp) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    let count = socket.read(&mut bytes).await.unwrap();
    bytes.truncate(count);
    bytes
}

#[tokio::test]
async fn what_is_there_needs_no_runtime() {
    let (mut socket, mut peer) = pair().await;
    peer.write_all(b"hello").unwrap();
    assert_eq!(read(&mut socket).await, b"hello");
    assert!(!is_watched(&socket));
    // As between the two runtimes.
    let mut socket = AgentTcp::attach(socket.detach().unwrap());
    socket.write_all(b"welcome").await.unwrap();
    socket.shutdown().await.unwrap();
    assert!(!is_watched(&socket));
    let mut heard = String::new();
    peer.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "welcome");
}

#[tokio::test]
async fn what_is_yet_to_come_is_waited_for() {
    let (mut socket, mut peer) = pair().await;
    let late = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        peer.write_all(b"late").unwrap();
        peer
    });
    assert_eq!(read(&mut socket).await, b"late");
    assert!(is_watched(&socket));
    // Watched or not, it is handed over.
    let mut socket = AgentTcp::attach(socket.detach().unwrap());
    drop(late.join().unwrap());
    assert_eq!(read(&mut socket).await, b"");
}

#[tokio::test]
async fn after_an_answer_the_runtime_watches_what_the_peer_says() {
    let (mut socket, mut peer) = pair().await;
    socket.write_all(b"101").await.unwrap();
    peer.write_all(b"report").unwrap();
    assert_eq!(read(&mut socket).await, b"report");
    assert!(is_watched(&socket));
}

#[tokio::test]
async fn a_peer_that_sends_without_end_is_watched_before_long() {
    let (mut socket, mut peer) = pair().await;
    peer.write_all(&[7; 64 * 6]).unwrap();
    for place in 0..6 {
        assert_eq!(read(&mut socket).await.len(), 64);
        assert_eq!(is_watched(&socket), place >= usize::from(READS_AT_ONCE));
    }
}

#[tokio::test]
async fn more_than_there_is_room_for_waits_and_arrives() {
    const BYTES: usize = 8 << 20;
    let (mut socket, mut peer) = pair().await;
    let reader = std::thread::spawn(move || {
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).unwrap();
        heard.len()
    });
    socket.write_all(&vec![1; BYTES]).await.unwrap();
    socket.shutdown().await.unwrap();
    drop(socket);
    assert_eq!(reader.join().unwrap(), BYTES);
}

#[tokio::test]
async fn a_peer_that_goes_is_noticed_whatever_it_has_left_unread() {
    let (mut socket, mut peer) = pair().await;
    peer.write_all(b"unread").unwrap();
    drop(peer);
    tokio::time::timeout(Duration::from_secs(20), socket.gone()).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_has_gone_is_seen_behind_what_it_has_sent() {
    let (socket, mut peer) = pair().await;
    peer.write_all(b"a message that is still unread").unwrap();
    assert!(!socket.is_gone());
    peer.shutdown(Shutdown::Write).unwrap();
    assert!(socket.is_gone());
    let (mut socket, peer) = pair().await;
    socket.watched().unwrap();
    assert!(!socket.is_gone());
    drop(peer);
    assert!(socket.is_gone(), "watched, and before the runtime hears of it");
}
