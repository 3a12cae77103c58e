//! The storm's view of the server stand-in.

use std::io;
use std::time::{Duration, Instant};

use seawall::clock;
use serde_json::{Map, Value};

use crate::crew::Crew;
use crate::http;
use crate::oracle::judge::{AgentLine, OracleVerdict, judge};

/// A stand-in's report port.
#[derive(Debug, Clone)]
pub(crate) struct ServerReport {
    url: String,
}

/// How often the server is asked how far it is while it has yet to settle, or to come back.
const ASK: Duration = Duration::from_millis(250);
/// While messages keep coming, the oracle rests this many times as long as its last look took: a
/// look at many agents takes processor time from what is measured.
const REST: u32 = 4;
/// How long a restart of the server may take.
const RESTART: Duration = Duration::from_secs(10);

/// What came of waiting for the truth.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// The last comparison.
    pub(crate) verdict: OracleVerdict,
    /// When the server was first seen to be right about every agent; `None` if it stayed wrong.
    pub(crate) at: Option<Instant>,
}

impl ServerReport {
    /// At this URL.
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned() }
    }

    /// Its counts.
    ///
    /// # Errors
    /// When it stays silent.
    pub(crate) async fn counts(&self) -> io::Result<Map<String, Value>> {
        let body = http::fetch(&format!("{}/report", self.url), None).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Puts them to zero. A server that is being restarted counts from there anyway, so it is asked
    /// again for a while.
    ///
    /// # Errors
    /// When it stays silent to the end.
    pub(crate) async fn reset(&self) -> io::Result<()> {
        let deadline = clock::now() + RESTART;
        loop {
            match http::fetch(&format!("{}/reset", self.url), Some("")).await {
                Err(_) if clock::now() < deadline => tokio::time::sleep(ASK).await,
                outcome => return outcome.map(drop),
            }
        }
    }

    async fn agents(&self) -> io::Result<Vec<AgentLine>> {
        let body = http::fetch(&format!("{}/agents", self.url), None).await?;
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines.map(serde_json::from_slice).collect::<Result<_, _>>()?)
    }

    /// Compares what it believes with the truth until they agree or the time is over. A server that
    /// is being restarted meanwhile is asked again.
    ///
    /// # Errors
    /// When it stays silent to the end, or a worker has died.
    pub(crate) async fn settle(&self, crew: &mut Crew, patience: Duration) -> io::Result<Settled> {
        let deadline = clock::now() + patience;
        let mut pace = OraclePace::new(clock::now());
        loop {
            let now = clock::now();
            let is_late = now >= deadline;
            let counts = self.counts().await.ok();
            if is_late || pace.should_look(counts.as_ref(), crew.known_agents(), now) {
                match self.agents().await {
                    Ok(believed) => {
                        let at = clock::now();
                        let verdict = judge(&crew.truth().await?, &believed);
                        if verdict.holds() || is_late {
                            let at = verdict.holds().then_some(at);
                            return Ok(Settled { verdict, at });
                        }
                    }
                    Err(error) if is_late => return Err(error),
                    Err(_) => {}
                }
                pace.looked(now, clock::now());
            }
            tokio::time::sleep(ASK).await;
        }
    }

    /// The same, and once more when the agents have stayed for `hold`: what happens meanwhile must
    /// leave the server right as well.
    ///
    /// # Errors
    /// As those of [`ServerReport::settle`].
    pub(crate) async fn settle_and_hold(
        &self,
        crew: &mut Crew,
        hold: Duration,
        patience: Duration,
    ) -> io::Result<Settled> {
        let until = clock::now() + hold;
        if hold.is_zero() {
            return self.settle(crew, patience).await;
        }
        // A server may be away all this time; whether it is back in the end is what counts.
        let first = self.settle(crew, hold).await.ok().and_then(|settled| settled.at);
        tokio::time::sleep_until(until.into()).await;
        let last = self.settle(crew, patience).await?;
        Ok(Settled { at: last.at.map(|at| first.unwrap_or(at)), ..last })
    }

    /// Lets it misbehave from now on, in the way of `POST /misbehave`.
    ///
    /// # Errors
    /// When it stays silent, or that misbehaviour is unknown to it.
    pub(crate) async fn misbehave(&self, how: &str) -> io::Result<()> {
        http::fetch(&format!("{}/misbehave", self.url), Some(how)).await.map(drop)
    }
}

/// When the oracle looks: as soon as messages cease, and now and then while they come.
#[derive(Debug)]
struct OraclePace {
    /// Messages when the server was last asked, and when the oracle last looked.
    asked_at: Option<u64>,
    looked_at: Option<u64>,
    next: Instant,
}

impl OraclePace {
    /// The first look is at once.
    const fn new(now: Instant) -> Self {
        Self { asked_at: None, looked_at: None, next: now }
    }

    fn should_look(
        &mut self,
        counts: Option<&Map<String, Value>>,
        agents: u32,
        now: Instant,
    ) -> bool {
        let count = |key| counts.and_then(|counts| counts.get(key)?.as_u64());
        let messages = count("messages");
        let is_quiet = messages.is_some() && messages == self.asked_at;
        self.asked_at = messages;
        // Digests are of interest once all agents are known.
        count("agents_complete") >= Some(agents.into())
            && (now >= self.next || is_quiet && messages != self.looked_at)
    }

    fn looked(&mut self, from: Instant, to: Instant) {
        self.looked_at = self.asked_at;
        self.next = to + (to - from) * REST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(messages: u64, complete: u64) -> Map<String, Value> {
        let counts = [("messages", messages), ("agents_complete", complete)];
        counts.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
    }

    #[test]
    fn the_oracle_looks_when_it_is_quiet_and_now_and_then() {
        let start = clock::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pace = OraclePace::new(start);
        assert!(!pace.should_look(None, 2, start), "the server is away");
        assert!(!pace.should_look(Some(&counts(5, 1)), 2, at(1)), "an agent is missing");
        assert!(pace.should_look(Some(&counts(5, 2)), 2, at(2)));
        pace.looked(at(0), at(100));
        assert!(!pace.should_look(Some(&counts(5, 2)), 2, at(250)), "nothing has come since");
        assert!(!pace.should_look(Some(&counts(6, 2)), 2, at(300)), "more may come");
        assert!(pace.should_look(Some(&counts(6, 2)), 2, at(350)), "no more has come");
        pace.looked(at(350), at(450));
        assert!(!pace.should_look(Some(&counts(7, 2)), 2, at(849)));
        assert!(pace.should_look(Some(&counts(8, 2)), 2, at(850)), "long enough rested");
    }
}
