//! The way to a store, whichever it is, and what may go wrong on it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::core::ownership::encoding::ValueFault;
use crate::core::ownership::{StoreAnswer, StoreCall};

/// A call that is under way.
pub type Calling<'a> = Pin<Box<dyn Future<Output = Result<StoreAnswer, StoreError>> + Send + 'a>>;

/// A store of leases and homes. It keeps its own connection, if it needs one.
pub trait Store: Send + Sync + 'static {
    /// Makes one call, and gives up after `within`. Dropping the future gives up as well: the call may still
    /// be carried out.
    fn call(&self, call: StoreCall, within: Duration) -> Calling<'_>;

    /// Where it is, for operators.
    fn place(&self) -> StorePlace;
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorePlace {
    /// How it is reached: `memory`, `single`, `sentinel` or `cluster`.
    pub kind: &'static str,
    /// The addresses in the configuration.
    pub addresses: Vec<String>,
    /// The one that is in use; `None`: no connection is open.
    pub connected: Option<String>,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The call was sent, and no answer came: it may have been carried out, or may be later. The fault of
    /// the store or of the network; reading the store tells what came of it.
    #[error("no answer: {0}; the call may have been carried out")]
    Unknown(String),
    /// The call was not sent. The fault of the store or of the network; retrying may help.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// The store answered with an error and changed nothing: it is a replica, is loading, is out of memory,
    /// lacks replicas, or refuses the credentials. Its operator's fault; retrying may help.
    #[error("the store refuses the call: {0}")]
    Refused(String),
    /// A value that no version of Seawall writes stands in the store. The fault of what else uses the prefix.
    #[error("{key}, field {field:?}: {fault}")]
    Corrupt {
        /// The hash.
        key: String,
        /// Its field.
        field: String,
        /// What is wrong with the value.
        fault: ValueFault,
    },
}

impl StoreError {
    /// Whether the call may have been carried out, or may be later.
    pub const fn may_apply(&self) -> bool {
        // A value is found corrupt in the answer: the call has been carried out.
        matches!(self, Self::Unknown(_) | Self::Corrupt { .. })
    }
}
