//! The stores of leases and homes, with real servers: Redis and Valkey, alone, behind Sentinels, as a
//! cluster. Each test starts its own servers.
// Helpers of tests are tests: what they unwrap, they assert.
#![allow(clippy::unwrap_used)]
#![forbid(unsafe_code)]

mod support;

#[path = "ownership/access.rs"]
mod access;
#[path = "ownership/cluster.rs"]
mod cluster;
#[path = "ownership/equivalence.rs"]
mod equivalence;
#[path = "ownership/inspection.rs"]
mod inspection;
#[path = "ownership/losses.rs"]
mod losses;
#[path = "ownership/operators.rs"]
mod operators;
#[path = "ownership/outages.rs"]
mod outages;
#[path = "ownership/sentinel.rs"]
mod sentinel;
#[path = "ownership/servers.rs"]
mod servers;
#[path = "ownership/values.rs"]
mod values;

use std::net::SocketAddr;
use std::time::Duration;

use seawall::core::ownership::{
    CertificateFingerprint, Change, ChangeAnswer, Counter, Lease, NodeIncarnation, NodeName, Renew,
    RenewAnswer, RunId, Snapshot, SoftwareVersion, StoreAnswer, StoreCall,
};
use seawall::ownership::redis::{RedisAddress, RedisMode, RedisParams, RedisStore};
use seawall::ownership::{Store, StoreError, StoreFault, StoreRefusal};
use support::PATIENCE;

/// How long a call may take whose answer is wanted.
const WITHIN: Duration = PATIENCE;
/// How long a call may take that is known to get no answer.
const BRIEFLY: Duration = Duration::from_millis(600);

fn params(mode: RedisMode, ports: &[u16]) -> RedisParams {
    let address = |port: &u16| RedisAddress { host: "127.0.0.1".to_owned(), port: *port };
    RedisParams {
        mode,
        addresses: ports.iter().map(address).collect(),
        prefix: "seawall:".to_owned(),
        database: 0,
        user: None,
        password: None,
        tls: None,
    }
}

/// A store in one Redis.
fn single(port: u16) -> RedisStore {
    RedisStore::new(&params(RedisMode::Single, &[port])).unwrap()
}

fn node(number: u64) -> NodeIncarnation {
    NodeIncarnation::new(number).unwrap()
}

fn lease(number: u64, counter: u64) -> Lease {
    let name = NodeName::try_new(&format!("node-{number}")).unwrap();
    Lease {
        counter: Counter(counter),
        address: Some(SocketAddr::from(([127, 0, 0, 1], 4321))),
        fingerprint: CertificateFingerprint([1; 32]),
        software: SoftwareVersion::new("0.1.0"),
        settings: 1,
        ..Lease::new(name, node(number))
    }
}

fn joining(number: u64) -> Change {
    let (still, remove, homes) = (vec![], vec![], vec![]);
    Change { by: node(number), still, remove, add: Some(lease(number, 1)), homes }
}

async fn change(store: &impl Store, change: Change) -> Result<ChangeAnswer, StoreError> {
    match store.call(StoreCall::Change(Box::new(change)), WITHIN).await? {
        StoreAnswer::Change(answer) => Ok(answer),
        other => panic!("{other:?}"),
    }
}

async fn join(store: &impl Store, number: u64) -> RunId {
    match change(store, joining(number)).await.unwrap() {
        ChangeAnswer::Changed { run, .. } => run,
        other => panic!("{other:?}"),
    }
}

async fn read(store: &impl Store) -> Result<Snapshot, StoreError> {
    match store.call(StoreCall::Read, WITHIN).await? {
        StoreAnswer::Read(snapshot) => Ok(*snapshot),
        other => panic!("{other:?}"),
    }
}

async fn renew(store: &impl Store, lease: Lease) -> Result<RenewAnswer, StoreError> {
    let renew = Renew { lease, restore: vec![], rejoin: false, secret: None };
    match store.call(StoreCall::Renew(Box::new(renew)), WITHIN).await? {
        StoreAnswer::Renew(answer) => Ok(*answer),
        other => panic!("{other:?}"),
    }
}

/// Why the store refused.
fn refusal(error: &Option<StoreError>) -> Option<StoreRefusal> {
    match error {
        Some(StoreError::Refused { why, .. }) => Some(*why),
        _ => None,
    }
}

/// Calls until an answer comes. Fails the test after [`PATIENCE`].
async fn read_at_last(store: &impl Store) -> Snapshot {
    let last = parking_lot::Mutex::new(None);
    let answered = async {
        loop {
            match store.call(StoreCall::Read, Duration::from_secs(2)).await {
                Ok(StoreAnswer::Read(snapshot)) => return *snapshot,
                Ok(other) => panic!("{other:?}"),
                Err(error) => *last.lock() = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let snapshot = tokio::time::timeout(PATIENCE, answered).await;
    snapshot.unwrap_or_else(|_| panic!("no answer within {PATIENCE:?}: {:?}", last.lock()))
}
