//! How long an agent's client waits for an answer, and which answer it obeys. Of which kind a client is `clients` tells.

use std::time::Duration;

/// What one kind of client bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientPatience {
    wait: Millis,
    answer: Millis,
    hold: Millis,
    retry_min: Millis,
    /// How it is told to come again.
    pub refusal: RefusalForm,
    /// Where it waits.
    pub queue: Queue,
}

/// How an agent is told to come again, so that its client obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RefusalForm {
    /// HTTP status 503 with `Retry-After`.
    #[default]
    Status,
    /// A `ServerToAgent` with UNAVAILABLE and `retry_info`: over HTTP with status 200, on a WebSocket behind the
    /// 101. A client that obeys it on a WebSocket is lost for ever by a Close frame: its connection just ends.
    Message,
}

/// Where an arrival waits that cannot be admitted at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Queue {
    /// In the park, within its horizon.
    #[default]
    Park,
    /// In a line beside the park, [`Queue::PATIENT_PARKS`] times as long: it waits long, and a refusal costs it more
    /// than a wait.
    Patient,
    /// Nowhere: it gives up before it could be told anything, and obeys nothing. It is served as far as the machine
    /// bears it, outside of the rate.
    Untold,
}

impl Queue {
    /// How many times the park's places the patient line has.
    pub const PATIENT_PARKS: usize = 4;
}

/// A length of time in four bytes: each parked arrival has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Millis(u32);

impl Millis {
    fn of(time: Duration) -> Self {
        Self(u32::try_from(time.as_millis()).unwrap_or(u32::MAX))
    }

    const fn time(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

impl Default for ClientPatience {
    fn default() -> Self {
        Self::LONG
    }
}

impl ClientPatience {
    /// A client that waits longer than it is ever let wait, and obeys `Retry-After`.
    pub const LONG: Self = Self {
        wait: Millis(u32::MAX),
        answer: Millis(0),
        hold: Millis(u32::MAX),
        retry_min: Millis(0),
        refusal: RefusalForm::Status,
        queue: Queue::Park,
    };

    /// A client that waits for so long, the time of the answer included, and whose refusals may be held for so long.
    #[must_use]
    pub fn new(wait: Duration, hold: Duration) -> Self {
        Self { wait: Millis::of(wait), hold: Millis::of(hold), ..Self::LONG }
    }

    /// The same client, which takes this answer for a refusal.
    #[must_use]
    pub const fn refused_by(self, refusal: RefusalForm) -> Self {
        Self { refusal, ..self }
    }

    /// The same client, which waits here.
    #[must_use]
    pub const fn waiting_in(self, queue: Queue) -> Self {
        Self { queue, ..self }
    }

    /// The same client, which stays away for so long at least, whatever it is told.
    #[must_use]
    pub fn away_for(self, retry_min: Duration) -> Self {
        Self { retry_min: Millis::of(retry_min), ..self }
    }

    /// The same client on a transport whose answer takes up to so long once it is admitted.
    #[must_use]
    pub fn answered_in(self, answer: Duration) -> Self {
        Self { answer: Millis::of(answer), ..self }
    }

    /// The same client, whose refusal is told at once.
    #[must_use]
    pub const fn unheld(self) -> Self {
        Self { hold: Millis(0), ..self }
    }

    /// How long it waits altogether: until it is admitted, and for its answer.
    pub const fn wait(self) -> Duration {
        self.wait.time()
    }

    /// How long it may be parked at most.
    pub const fn park_max(self) -> Duration {
        self.wait.time().saturating_sub(self.answer.time())
    }

    /// How long its answer may take after it was parked for so long: one deadline for both.
    pub fn answer_max(self, parked: Duration) -> Duration {
        self.wait.time().saturating_sub(parked)
    }

    /// How long its refusal may be held.
    pub const fn hold(self) -> Duration {
        self.hold.time()
    }

    /// The shortest time that it stays away.
    pub const fn retry_min(self) -> Duration {
        self.retry_min.time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_and_answer_have_one_deadline() {
        let [wait, answer, hold] = [8_000, 500, 5_000].map(Duration::from_millis);
        let client = ClientPatience::new(wait, hold).answered_in(answer);
        assert_eq!((client.park_max(), client.hold()), (wait - answer, hold));
        assert_eq!(client.answer_max(Duration::from_secs(6)), Duration::from_secs(2));
        assert_eq!(client.answer_max(Duration::from_secs(9)), Duration::ZERO);
        let short = ClientPatience::new(answer, hold).answered_in(wait);
        assert_eq!(short.park_max(), Duration::ZERO);
        assert!(size_of::<ClientPatience>() <= 20, "each parked arrival has one");
    }
}
