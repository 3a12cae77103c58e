//! What Redis means by the errors that it answers. None of them comes with a change: a script is refused before its
//! first write, or by it.

use redis::{ErrorKind, RedisError};

use crate::ownership::store::{StoreError, StoreRefusal};

/// The words by which Redis says that a script's user lacks a right; their code says nothing.
const LACKS_A_RIGHT: [&str; 3] = ["ACL failure", "can't run this command", "no permissions"];

/// An error that was answered.
pub(super) fn refused(error: &RedisError) -> StoreError {
    StoreError::Refused { why: meaning(error), said: error.to_string() }
}

/// A connection that could not be opened: no Redis is there, or it does not let this node in.
pub(super) fn not_opened(error: &RedisError) -> StoreError {
    match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::Server(_) | ErrorKind::Extension => {
            refused(error)
        }
        _ => StoreError::Unreachable(error.to_string()),
    }
}

fn meaning(error: &RedisError) -> StoreRefusal {
    if error.kind() == ErrorKind::AuthenticationFailed {
        return StoreRefusal::Credentials;
    }
    let lacks = |detail: &str| LACKS_A_RIGHT.iter().any(|words| detail.contains(words));
    match error.code().unwrap_or_default() {
        "READONLY" | "MASTERDOWN" => StoreRefusal::Replica,
        "NOAUTH" | "WRONGPASS" | "NOPERM" => StoreRefusal::Credentials,
        "OOM" => StoreRefusal::Memory,
        "NOREPLICAS" => StoreRefusal::Replicas,
        "MISCONF" => StoreRefusal::Disk,
        "LOADING" | "BUSY" | "TRYAGAIN" | "CLUSTERDOWN" | "MOVED" | "ASK" => StoreRefusal::Busy,
        "WRONGTYPE" => StoreRefusal::WrongType,
        _ if error.detail().is_some_and(lacks) => StoreRefusal::Credentials,
        _ => StoreRefusal::Other,
    }
}
