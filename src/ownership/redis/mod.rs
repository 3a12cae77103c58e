//! A store in Redis, or in what speaks its protocol: one server, one behind Sentinels, or a cluster. The only
//! module that knows the crate.
//!
//! Each call is one script over three keys of one slot, with a deadline of its own, on a connection that
//! `locate` finds. What is unknown after a time-out stays unknown here: the caller reads it back. Keys have
//! no time to live. Members that are gone are removed by the others, and a policy of eviction that spares
//! keys without one spares these.

mod answers;
mod connection;
mod inspect;
mod locate;
mod params;
mod refusal;
mod scripts;

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::time::{Instant, timeout_at};

pub use inspect::{Finding, Inspection};
pub use params::{RedisAddress, RedisMode, RedisParams, RedisPassword, RedisTls};

use super::store::{Calling, Store, StoreError, StorePlace};
use crate::clock;
use crate::core::ownership::{StoreAnswer, StoreCall};
use crate::tls::TlsError;
use connection::Connection;
use locate::Locator;
use scripts::Keys;

/// How often a call is sent on because its Redis said that another one is the right one.
const REDIRECTS_MAX: u32 = 3;

/// The store. It dials when it is called.
pub struct RedisStore {
    keys: Keys,
    locator: Locator,
}

/// What to do about an error that Redis answered, or about a lost connection.
enum AfterError {
    /// The connection broke while an answer was due.
    Unknown(RedisError),
    /// Nothing was carried out. Another Redis is the right one.
    Elsewhere(RedisError),
    /// Nothing was carried out.
    Refused(RedisError),
}

impl RedisStore {
    /// # Errors
    /// If the files for TLS cannot be read.
    pub fn new(params: &RedisParams) -> Result<Self, TlsError> {
        Ok(Self { keys: Keys::new(params), locator: Locator::new(params)? })
    }

    async fn carry_out(
        &self,
        call: StoreCall,
        within: Duration,
    ) -> Result<StoreAnswer, StoreError> {
        let command = self.keys.command(&call, rand::random());
        let (_, value) = self.ask(&command, within).await?;
        answers::read(&self.keys, &call, value)
    }

    /// Sends a command that names our keys to the Redis that holds them. Returns the connection that answered
    /// as well.
    async fn ask(
        &self,
        command: &Cmd,
        within: Duration,
    ) -> Result<(Arc<Connection>, Value), StoreError> {
        let deadline = Instant::from_std(clock::now() + within);
        let mut redirects = 0;
        loop {
            let connection = timeout_at(deadline, self.locator.connection(within)).await;
            let connection = connection
                .map_err(|_| StoreError::Unreachable(format!("no connection within {within:?}")))?
                .map_err(|error| refusal::not_opened(&error))?;
            let Ok(answer) = timeout_at(deadline, connection.ask(command)).await else {
                self.locator.replace(&connection);
                let silent = format!("{} is silent for {within:?}", connection.address);
                return Err(StoreError::Unknown(silent));
            };
            let error = match answer {
                Ok(value) => return Ok((connection, value)),
                Err(error) => error,
            };
            match self.follow_up(&connection, error) {
                AfterError::Elsewhere(error) if redirects == REDIRECTS_MAX => {
                    return Err(refusal::refused(&error));
                }
                AfterError::Elsewhere(_) => redirects += 1,
                AfterError::Refused(error) => return Err(refusal::refused(&error)),
                AfterError::Unknown(error) => {
                    let lost = format!("{}: {error}", connection.address);
                    return Err(StoreError::Unknown(lost));
                }
            }
        }
    }

    /// Sorts an error, and sees to it that the next call has a connection that may do better.
    fn follow_up(&self, connection: &Arc<Connection>, error: RedisError) -> AfterError {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => {
                if let Some((address, _)) = error.redirect_node() {
                    self.locator.moved(connection, address);
                }
                AfterError::Elsewhere(error)
            }
            ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => {
                self.locator.replace(connection);
                AfterError::Elsewhere(error)
            }
            ErrorKind::Server(_) | ErrorKind::Extension => AfterError::Refused(error),
            // The connection broke, or what came is no reply at all.
            _ => {
                self.locator.replace(connection);
                AfterError::Unknown(error)
            }
        }
    }
}

impl Store for RedisStore {
    fn call(&self, call: StoreCall, within: Duration) -> Calling<'_> {
        Box::pin(self.carry_out(call, within))
    }

    fn place(&self) -> StorePlace {
        self.locator.place()
    }
}
