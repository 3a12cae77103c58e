//! A TCP connection to a name that may have several addresses, some of them dead: the next one is tried after a
//! moment, while the earlier ones go on ("Happy Eyeballs", RFC 8305). Knows the system's names. The deadline of
//! the whole, and what is said on the connection, are the callers'.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

/// How long one address is tried before the next one is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of one name that are tried: within 4 s all of them are.
const ADDRESSES_MAX: usize = 16;

/// Whether this is a DNS name or an address (without brackets): what else is dialled in vain. `256.256.256.256` is
/// neither (RFC 3696, section 2: the last label of a name is not all digits).
pub(crate) fn is_host(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

/// Connects to the first address of `host` that answers. The name is resolved anew each time.
///
/// # Errors
/// If the name is unknown, or the error of the address that failed last; among several it is named.
pub(crate) async fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let found = lookup_host((host, port)).await?;
    let addresses = alternate(found.collect());
    if let [only] = addresses.as_slice() {
        return TcpStream::connect(only).await;
    }
    race(addresses, |address| async move {
        let connected = TcpStream::connect(address).await;
        connected.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
    })
    .await
}

/// The addresses of the two families by turns, each in the system's order (RFC 8305, section 4): a family that is
/// broken costs one delay.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv4) else { return addresses };
    let (mut one, mut other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first);
    (one, other) = (one.into_iter().rev().collect(), other.into_iter().rev().collect());
    let mut ordered = Vec::new();
    while ordered.len() < ADDRESSES_MAX && !(one.is_empty() && other.is_empty()) {
        ordered.extend(one.pop());
        ordered.extend(other.pop());
    }
    ordered.truncate(ADDRESSES_MAX);
    ordered
}

/// The first attempt that succeeds. One that fails has the next one tried at once. The attempts end with the caller.
async fn race<S, F>(addresses: Vec<SocketAddr>, attempt: impl Fn(SocketAddr) -> F) -> io::Result<S>
where
    S: Send + 'static,
    F: Future<Output = io::Result<S>> + Send + 'static,
{
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        match waiting.next() {
            Some(address) => {
                attempts.spawn(attempt(address));
            }
            None if attempts.is_empty() => return Err(failure),
            None => {}
        }
        let delay = async {
            if waiting.len() == 0 {
                std::future::pending().await
            } else {
                tokio::time::sleep(ATTEMPT_DELAY).await;
            }
        };
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = delay => None,
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(fault)) => failure = io::Error::other(fault),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Addresses by what they do: port 1 is silent, port 2 refuses, port 3 answers.
    async fn attempt(address: SocketAddr) -> io::Result<SocketAddr> {
        match address.port() {
            1 => std::future::pending().await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => Ok(address),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_moment_and_a_refusing_one_nothing() {
        for (texts, millis) in [
            (&["10.0.0.1:3", "10.0.0.2:1"][..], 0),
            (&["10.0.0.1:1", "10.0.0.2:3"], 250),
            (&["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:3"], 500),
            (&["10.0.0.1:2", "10.0.0.2:3"], 0),
            (&["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3"], 250),
        ] {
            let within = |millis| {
                tokio::time::timeout(Duration::from_millis(millis), race(addresses(texts), attempt))
            };
            assert_eq!(within(millis + 1).await.unwrap().unwrap().port(), 3, "{texts:?}");
            assert!(millis == 0 || within(millis - 1).await.is_err(), "{texts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_addresses_fail_the_last_failure_is_told() {
        let failed = race(addresses(&["10.0.0.1:2", "10.0.0.2:2"]), attempt).await;
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let none = race(Vec::new(), attempt).await;
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::NotFound);
        let silent = race(addresses(&["10.0.0.1:1", "10.0.0.2:2"]), attempt);
        assert!(tokio::time::timeout(Duration::from_secs(60), silent).await.is_err());
    }

    #[test]
    fn a_host_is_told_from_what_is_none() {
        for host in ["h", "h_1.example", "10.0.0.1", "::1", "1.example", "xn--mlaut-jva.example"] {
            assert!(is_host(host), "{host}");
        }
        for none in ["", "256.256.256.256", "10.0.0", "a b", "a..b", "[::1]", "ümlaut"] {
            assert!(!is_host(none), "{none}");
        }
    }

    #[test]
    fn families_take_turns() {
        let order = alternate(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1"]));
        assert_eq!(order, addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "[::3]:1"]));
        assert!(alternate(Vec::new()).is_empty());
        let many: Vec<SocketAddr> = vec!["10.0.0.1:1".parse().unwrap(); 100];
        assert_eq!(alternate(many).len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn the_addresses_of_a_name_are_tried() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let since = clock::now();
        // Where the name has two addresses, one of them refuses.
        let socket = connect("localhost", port).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap().port(), port);
        assert!(clock::now() - since < Duration::from_secs(10));
        assert!(connect("unknown.invalid", port).await.is_err());
    }
}
