//! The storm's view of the server stand-in.

use std::io;
use std::time::{Duration, Instant};

use seawall::clock;
use serde_json::{Map, Value};

use crate::crew::Crew;
use crate::http1;
use crate::oracle::judge::{AgentLine, Verdict, judge};

/// A stand-in's report port.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    url: String,
}

/// How often the server is asked while it has yet to settle, or to come back.
const LOOK: Duration = Duration::from_millis(250);
/// The oracle rests this many times as long as a look took: a look at many agents costs processor
/// time that whoever is measured would have.
const REST: u32 = 4;
/// How long a restart of the server may take.
const RESTART: Duration = Duration::from_secs(10);

/// What came of waiting for the truth.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    /// The last comparison.
    pub(crate) verdict: Verdict,
    /// When the server's picture was first seen to be true; `None` if it never was.
    pub(crate) at: Option<Instant>,
}

impl Server {
    /// At this URL.
    pub(crate) fn new(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').to_owned() }
    }

    /// Its counts.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) async fn counts(&self) -> io::Result<Map<String, Value>> {
        let body = http1::fetch(&format!("{}/report", self.url), None).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Puts them to zero. A server that is being restarted counts from there anyway, so it is asked
    /// again for a while.
    ///
    /// # Errors
    /// When it does not answer to the end.
    pub(crate) async fn reset(&self) -> io::Result<()> {
        let deadline = clock::now() + RESTART;
        loop {
            match http1::fetch(&format!("{}/reset", self.url), Some("")).await {
                Err(_) if clock::now() < deadline => tokio::time::sleep(LOOK).await,
                outcome => return outcome.map(drop),
            }
        }
    }

    async fn agents(&self) -> io::Result<Vec<AgentLine>> {
        let body = http1::fetch(&format!("{}/agents", self.url), None).await?;
        let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines.map(serde_json::from_slice).collect::<Result<_, _>>()?)
    }

    /// Compares what it believes with the truth until they agree or the time is over. A server that
    /// is being restarted meanwhile is asked again.
    ///
    /// # Errors
    /// When it does not answer to the end, or a worker has died.
    pub(crate) async fn settle(&self, crew: &mut Crew, patience: Duration) -> io::Result<Settled> {
        let deadline = clock::now() + patience;
        loop {
            let started = clock::now();
            let is_late = started >= deadline;
            // While agents are missing, their digests are of no interest yet.
            let may_hold = self.counts().await.is_ok_and(|counts| {
                counts.get("agents_complete").and_then(Value::as_u64) >= Some(crew.agents.into())
            });
            if may_hold || is_late {
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
            }
            let now = clock::now();
            let left = deadline.saturating_duration_since(now);
            let rest = LOOK.max((now - started) * REST);
            tokio::time::sleep(rest.min(left.max(LOOK))).await;
        }
    }

    /// The same, and once more when the agents have stayed for `hold`: what happens meanwhile must
    /// not have left the server with anything untrue either.
    ///
    /// # Errors
    /// As those of [`Server::settle`].
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

    /// Has it behave badly from now on, in the way of `POST /misbehave`.
    ///
    /// # Errors
    /// When it does not answer, or knows no such misbehaviour.
    pub(crate) async fn misbehave(&self, how: &str) -> io::Result<()> {
        http1::fetch(&format!("{}/misbehave", self.url), Some(how)).await.map(drop)
    }
}
