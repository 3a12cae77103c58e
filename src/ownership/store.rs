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

/// Why a call has no answer. What that means for the caller [`StoreError::may_apply`] says, and whose fault it is
/// [`StoreError::fault`]. Another try may help in each case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The call was sent, and no answer came: it may have been carried out, or may be later. Reading the store tells
    /// what came of it.
    #[error("no answer: {0}; the call may have been carried out")]
    Unknown(String),
    /// The call was not sent.
    #[error("the store cannot be reached: {0}")]
    Unreachable(String),
    /// The store answered with an error and changed nothing.
    #[error("the store refuses the call, because {why} ({said})")]
    Refused {
        /// What it means.
        why: StoreRefusal,
        /// The store's own words.
        said: String,
    },
    /// A value that no version of Seawall writes stands in the store.
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

/// Why the store refuses a call, as a clause that begins with "because".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreRefusal {
    /// It takes no writes, and no master was found.
    #[error("it is a replica, and its master was not found")]
    Replica,
    /// This node shows no user and password that it takes, or the user lacks a right.
    #[error("user or password are wrong, or the user lacks a right")]
    Credentials,
    /// It is full.
    #[error("its memory is full")]
    Memory,
    /// Fewer replicas follow it than its operator asks for.
    #[error("too few replicas follow it")]
    Replicas,
    /// It cannot save what it has.
    #[error("it cannot write to its disk")]
    Disk,
    /// It is loading, or running something long, or parts of its cluster are moving or missing.
    #[error("it is busy, or its cluster is not whole")]
    Busy,
    /// One of the keys is no hash.
    #[error("something else has written one of the keys")]
    WrongType,
    /// The keys are those of a fleet with another number of shards.
    #[error("another version of Seawall has its fleet there")]
    OtherFleet,
    /// Anything else.
    #[error("it does not understand it")]
    Other,
}

/// Who can mend what went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// The store's operator.
    Store,
    /// The store's operator, or the network's.
    Way,
    /// This node's operator: what its configuration says does not fit the store.
    Configuration,
    /// The operator of another program, which writes under the same prefix.
    OtherProgram,
}

impl StoreError {
    /// Whether the call may have been carried out, or may be later.
    pub const fn may_apply(&self) -> bool {
        // A value is found corrupt in the answer: the call has been carried out.
        matches!(self, Self::Unknown(_) | Self::Corrupt { .. })
    }

    /// Whose fault it is.
    pub const fn fault(&self) -> StoreFault {
        match self {
            Self::Unknown(_) | Self::Unreachable(_) => StoreFault::Way,
            Self::Refused { why, .. } => why.fault(),
            Self::Corrupt { .. } => StoreFault::OtherProgram,
        }
    }
}

impl StoreRefusal {
    const fn fault(self) -> StoreFault {
        match self {
            Self::Replica | Self::Memory | Self::Replicas | Self::Disk | Self::Busy => {
                StoreFault::Store
            }
            Self::Credentials | Self::OtherFleet | Self::Other => StoreFault::Configuration,
            Self::WrongType => StoreFault::OtherProgram,
        }
    }
}

impl StoreFault {
    /// As the log names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "the store",
            Self::Way => "the store or the way to it",
            Self::Configuration => "this node's configuration",
            Self::OtherProgram => "another program, which writes under the prefix",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_it_means_and_whose_fault_it_is() {
        let said = "OOM command not allowed".to_owned();
        let error = StoreError::Refused { why: StoreRefusal::Memory, said };
        assert_eq!(
            error.to_string(),
            "the store refuses the call, because its memory is full (OOM command not allowed)"
        );
        assert_eq!((error.may_apply(), error.fault()), (false, StoreFault::Store));
        let silent = StoreError::Unknown("silence".to_owned());
        assert_eq!((silent.may_apply(), silent.fault()), (true, StoreFault::Way));
        let denied = StoreError::Refused { why: StoreRefusal::Credentials, said: String::new() };
        assert_eq!(denied.fault().as_str(), "this node's configuration");
    }
}
