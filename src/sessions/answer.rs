//! The answer to a plain-HTTP request on its way out: its bytes are counted until the socket has them, or the
//! connection is gone.

use std::sync::Arc;

use super::Sessions;
use super::room::connection_counters;

/// See the module's text.
pub struct AnswerBytes {
    bytes: Vec<u8>,
    sessions: Arc<Sessions>,
}

/// Answers of at most this many bytes always find room: what refuses one would be no shorter.
const ALWAYS_BYTES_MAX: usize = 1 << 10;

impl AnswerBytes {
    /// Counts these bytes. `None`: they find no room beside what waits for all agents.
    pub fn try_new(sessions: &Arc<Sessions>, bytes: Vec<u8>) -> Option<Self> {
        let counters = connection_counters(sessions);
        let total = counters.present_bytes() + bytes.len();
        if bytes.len() > ALWAYS_BYTES_MAX && total > sessions.params.outbox_total_bytes_max {
            counters.shortage.note();
            return None;
        }
        counters.outbox_changed(0, bytes.len());
        Some(Self { bytes, sessions: Arc::clone(sessions) })
    }

    /// The same message in other bytes, which are fewer.
    #[must_use]
    pub fn replaced_by(mut self, bytes: Vec<u8>) -> Self {
        connection_counters(&self.sessions).outbox_changed(self.bytes.len(), bytes.len());
        self.bytes = bytes;
        self
    }
}

/// Bytes of answers on a connection of many agents: counted until the socket has them, or the connection is gone.
pub struct UnwrittenBytes {
    count: usize,
    sessions: Arc<Sessions>,
}

impl UnwrittenBytes {
    /// Of a connection on which nothing waits.
    pub fn new(sessions: &Arc<Sessions>) -> Self {
        Self { count: 0, sessions: Arc::clone(sessions) }
    }

    /// This many wait now.
    pub fn set(&mut self, count: usize) {
        if self.count != count {
            connection_counters(&self.sessions).outbox_changed(self.count, count);
            self.count = count;
        }
    }
}

impl Drop for UnwrittenBytes {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl AsRef<[u8]> for AnswerBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for AnswerBytes {
    fn drop(&mut self) {
        connection_counters(&self.sessions).outbox_changed(self.bytes.len(), 0);
    }
}
