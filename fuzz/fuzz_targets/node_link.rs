//! Frames of a node link and records of sessions: any bytes are read without a panic, and what is read is written
//! and read again the same.
#![no_main]

use std::sync::LazyLock;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use seawall::core::attachment::HomeRecord;
use seawall::core::node_link::{Hello, ToFront, ToHome, ToNewHome, ToNext};
use seawall::core::session::{Session, SessionRecord};

static START: LazyLock<Instant> = LazyLock::new(seawall::clock::now);

fuzz_target!(|data: &[u8]| {
    let mut again = Vec::new();
    if let Ok(message) = ToHome::decode(data) {
        message.encode(&mut again);
        assert_eq!(ToHome::decode(&again), Ok(message));
        again.clear();
    }
    if let Ok(message) = ToFront::decode(data) {
        message.encode(&mut again);
        assert_eq!(ToFront::decode(&again), Ok(message));
        again.clear();
    }
    if let Ok(message) = ToNext::decode(data) {
        message.encode(&mut again);
        assert_eq!(ToNext::decode(&again), Ok(message));
        again.clear();
    }
    if let Ok(message) = ToNewHome::decode(data) {
        message.encode(&mut again);
        assert_eq!(ToNewHome::decode(&again), Ok(message));
        again.clear();
    }
    if let Ok(hello) = Hello::decode(data) {
        hello.encode(&mut again);
        assert_eq!(Hello::decode(&again), Ok(hello));
        again.clear();
    }
    if let Ok(record) = HomeRecord::decode(data) {
        record.encode(&mut again);
        assert_eq!(HomeRecord::decode(&again), Ok(record));
    }
    records(data);
});

/// A session goes on from whatever a record says, and says the same of itself.
fn records(data: &[u8]) {
    let Ok(record) = SessionRecord::decode(data, *START) else { return };
    let mut bytes = Vec::new();
    record.encode(*START, &mut bytes);
    let mut read = SessionRecord::decode(&bytes, *START).expect("it was written here");
    // Offers merge: which message brought a field is past.
    assert_eq!(read.mailbox.offers.is_some(), record.mailbox.offers.is_some());
    read.mailbox.offers.clone_from(&record.mailbox.offers);
    assert_eq!(read, record);
    let session = Session::from_record(record);
    session.to_record().encode(*START, &mut bytes);
}
