//! Which Redis takes our writes now, and the connection to it.
//!
//! The connection that works stays in use. It is replaced when it ends, when it goes silent, when its Redis
//! turns out to be a replica, or another node of a cluster holds our slot, and when the Sentinels name
//! another master.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::{ErrorKind, RedisError, Value};
use tokio::time::timeout;

use super::connection::{Connection, RedisDialler};
use super::params::{RedisAddress, RedisMode, RedisParams};
use crate::clock;
use crate::ownership::store::StorePlace;
use crate::tls::TlsError;

/// How often the Sentinels are asked while a connection is in use. A master that was paused goes on taking
/// writes for seconds after another was promoted, and these are lost.
const SENTINELS_ASKED_EVERY: Duration = Duration::from_secs(3);

/// A silent address uses up at most this part of a call's time, so that the next one is tried as well.
const ATTEMPTS_A_CALL: u32 = 3;

/// Finds the right Redis, and remembers.
pub(super) struct Locator {
    dialler: RedisDialler,
    mode: RedisMode,
    addresses: Vec<RedisAddress>,
    /// Which address is tried first.
    first: AtomicUsize,
    current: Mutex<Located>,
}

#[derive(Default)]
struct Located {
    connection: Option<Arc<Connection>>,
    /// The node that the cluster named for our slot.
    moved_to: Option<RedisAddress>,
    sentinels_asked: Option<Instant>,
}

impl Locator {
    pub(super) fn new(params: &RedisParams) -> Result<Self, TlsError> {
        Ok(Self {
            dialler: RedisDialler::new(params)?,
            mode: params.mode.clone(),
            addresses: params.addresses.clone(),
            first: AtomicUsize::new(0),
            current: Mutex::default(),
        })
    }

    /// Where it looks, and where it has found a Redis.
    pub(super) fn place(&self) -> StorePlace {
        let kind = match &self.mode {
            RedisMode::Single => "single",
            RedisMode::Sentinel { .. } => "sentinel",
            RedisMode::Cluster => "cluster",
        };
        let current = self.current.lock();
        let open = current.connection.as_ref().filter(|connection| !connection.is_over());
        let connected = open.map(|connection| connection.address.to_string());
        let addresses = self.addresses.iter().map(ToString::to_string).collect();
        StorePlace { kind, addresses, connected }
    }

    /// The connection in use, or a new one. `within` is what the whole call may take.
    pub(super) async fn connection(&self, within: Duration) -> Result<Arc<Connection>, RedisError> {
        let attempt = within / ATTEMPTS_A_CALL;
        self.ask_sentinels(attempt).await;
        let current = self.current.lock().connection.clone();
        if let Some(connection) = current.filter(|connection| !connection.is_over()) {
            return Ok(connection);
        }
        let connection = Arc::new(self.dial(attempt).await?);
        self.current.lock().connection = Some(connection.clone());
        Ok(connection)
    }

    /// Another one will be opened for the next call. The first address tried then is another one as well:
    /// what is paused still accepts connections.
    pub(super) fn replace(&self, connection: &Arc<Connection>) {
        let mut current = self.current.lock();
        if current.moved_to.as_ref() == Some(&connection.address) {
            current.moved_to = None;
        }
        if self.addresses.get(self.first()) == Some(&connection.address) {
            self.first.fetch_add(1, Ordering::Relaxed);
        }
        current.connection.take_if(|current| Arc::ptr_eq(current, connection));
    }

    /// The node of this address holds our slot.
    pub(super) fn moved(&self, connection: &Arc<Connection>, to: &str) {
        self.replace(connection);
        // An empty host means: the same host as before.
        let to = match to.strip_prefix(':') {
            Some(port) => format!("{}:{port}", connection.address.host),
            None => to.to_owned(),
        };
        self.current.lock().moved_to = RedisAddress::parse(&to);
    }

    fn first(&self) -> usize {
        self.first.load(Ordering::Relaxed) % self.addresses.len().max(1)
    }

    /// The addresses, each once, with the first one in front. If the call's time is over while one is tried,
    /// the next call begins behind it.
    fn addresses_in_turn(&self) -> impl Iterator<Item = (usize, &RedisAddress)> {
        self.addresses.iter().map(|_| {
            let index = self.first();
            self.first.store(index + 1, Ordering::Relaxed);
            (index, &self.addresses[index])
        })
    }

    async fn dial(&self, attempt: Duration) -> Result<Connection, RedisError> {
        let moved_to = self.current.lock().moved_to.clone();
        if let Some(address) = moved_to {
            match in_time(attempt, self.dialler.open(&address)).await {
                Ok(connection) => return Ok(connection),
                Err(_) => self.current.lock().moved_to = None,
            }
        }
        if let RedisMode::Sentinel { master } = &self.mode {
            let address = self.master(master, attempt).await?;
            self.current.lock().sentinels_asked = Some(clock::now());
            return in_time(attempt, self.dialler.open(&address)).await;
        }
        let mut last = no_addresses();
        for (index, address) in self.addresses_in_turn() {
            match in_time(attempt, self.dialler.open(address)).await {
                Ok(connection) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The master's address, from the first Sentinel that knows it.
    async fn master(&self, name: &str, attempt: Duration) -> Result<RedisAddress, RedisError> {
        let mut last = no_addresses();
        for (index, sentinel) in self.addresses_in_turn() {
            match in_time(attempt, self.ask_sentinel(sentinel, name)).await {
                Ok(address) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(address);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn ask_sentinel(
        &self,
        sentinel: &RedisAddress,
        name: &str,
    ) -> Result<RedisAddress, RedisError> {
        let connection = self.dialler.open_sentinel(sentinel).await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("get-master-addr-by-name").arg(name);
        let unknown = (ErrorKind::MasterNameNotFoundBySentinel, "no master of this name");
        named(&connection.ask(&command).await?).ok_or_else(|| unknown.into())
    }

    /// Drops the connection if the Sentinels name another master by now.
    async fn ask_sentinels(&self, attempt: Duration) {
        let RedisMode::Sentinel { master } = &self.mode else { return };
        let (connection, asked) = {
            let current = self.current.lock();
            (current.connection.clone(), current.sentinels_asked)
        };
        let Some(connection) = connection else { return };
        let now = clock::now();
        if asked.is_some_and(|asked| now.duration_since(asked) < SENTINELS_ASKED_EVERY) {
            return;
        }
        self.current.lock().sentinels_asked = Some(now);
        // Sentinels that are away change nothing, and leave the call most of its time.
        if let Ok(address) = in_time(attempt, self.master(master, attempt)).await
            && address != connection.address
        {
            self.replace(&connection);
        }
    }
}

/// What an empty list comes to. The configuration asks for one address at least.
fn no_addresses() -> RedisError {
    (ErrorKind::InvalidClientConfig, "no addresses").into()
}

/// Host and port as a Sentinel answers them.
fn named(answer: &Value) -> Option<RedisAddress> {
    let Value::Array(parts) = answer else { return None };
    let [Value::BulkString(host), Value::BulkString(port)] = parts.as_slice() else { return None };
    let (host, port) = (std::str::from_utf8(host).ok()?, std::str::from_utf8(port).ok()?);
    RedisAddress::parse(&format!("{host}:{port}"))
}

async fn in_time<T>(
    limit: Duration,
    future: impl Future<Output = Result<T, RedisError>>,
) -> Result<T, RedisError> {
    let late = || std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
    timeout(limit, future).await.unwrap_or_else(|_| Err(late().into()))
}
