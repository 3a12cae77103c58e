//! One connection to one Redis or Sentinel: TCP, TLS, credentials, then commands and replies. It must not
//! know which address is the right one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, Value};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::params::{RedisAddress, RedisParams, RedisTls};
use crate::connect;
use crate::tls::{ClientFiles, FreshClient, TlsError};

/// The kernel gives a connection up whose bytes are unacknowledged for this long, and asks after a silence of
/// this length whether the other end is there. Calls have deadlines of their own, which are shorter.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// More calls than this at a time wait for their turn. A node makes two or three.
const CALLS_MAX: usize = 16;

/// How connections are opened.
pub(super) struct RedisDialler {
    tls: Option<Arc<FreshClient>>,
    login: RedisConnectionInfo,
}

/// An open connection. Dropping it closes it.
pub(super) struct Connection {
    /// Where it leads.
    pub(super) address: RedisAddress,
    commands: MultiplexedConnection,
    driver: JoinHandle<()>,
}

impl RedisDialler {
    /// # Errors
    /// If the files for TLS cannot be read.
    pub(super) fn new(params: &RedisParams) -> Result<Self, TlsError> {
        let tls = match &params.tls {
            None => None,
            Some(RedisTls { ca_file, identity }) => {
                let files = ClientFiles { ca_file: ca_file.clone(), identity: identity.clone() };
                Some(Arc::new(FreshClient::new(files)?))
            }
        };
        let mut login = RedisConnectionInfo::default()
            .set_db(params.database.into())
            .set_lib_name("seawall", env!("CARGO_PKG_VERSION"));
        if let Some(user) = &params.user {
            login = login.set_username(user);
        }
        if let Some(password) = &params.password {
            login = login.set_password(&password.0);
        }
        Ok(Self { tls, login })
    }

    /// Opens a connection to a Redis, with the database and the credentials.
    pub(super) async fn open(&self, to: &RedisAddress) -> Result<Connection, RedisError> {
        self.open_as(to, &self.login).await
    }

    /// Opens a connection to a Sentinel, which has neither database nor credentials.
    pub(super) async fn open_sentinel(&self, to: &RedisAddress) -> Result<Connection, RedisError> {
        self.open_as(to, &RedisConnectionInfo::default().set_skip_set_lib_name()).await
    }

    async fn open_as(
        &self,
        to: &RedisAddress,
        login: &RedisConnectionInfo,
    ) -> Result<Connection, RedisError> {
        let socket = connect::connect(&to.host, to.port).await?;
        prepare(&socket)?;
        match &self.tls {
            None => introduce(to, socket, login).await,
            Some(client) => {
                let connector = client.connector().await.map_err(io::Error::other)?;
                let name = ServerName::try_from(to.host.clone());
                let name = name.map_err(|error| io::Error::other(error.to_string()))?;
                introduce(to, connector.connect(name, socket).await?, login).await
            }
        }
    }
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE_MAX))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE_MAX))?;
    Ok(())
}

async fn introduce(
    to: &RedisAddress,
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    login: &RedisConnectionInfo,
) -> Result<Connection, RedisError> {
    // Deadlines are the caller's.
    let config =
        AsyncConnectionConfig::new().set_response_timeout(None).set_concurrency_limit(CALLS_MAX);
    let (commands, driver) = MultiplexedConnection::new_with_config(login, stream, config).await?;
    Ok(Connection { address: to.clone(), commands, driver: tokio::spawn(driver) })
}

impl Connection {
    /// Whether it has ended: the other end closed it, or it broke.
    pub(super) fn is_over(&self) -> bool {
        self.driver.is_finished()
    }

    /// Sends a command and waits for its reply.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, RedisError> {
        command.query_async(&mut self.commands.clone()).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
