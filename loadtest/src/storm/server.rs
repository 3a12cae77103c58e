//! The storm's view of the server stand-in.

use std::io;
use std::time::Duration;

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

/// How often the oracle looks while the server has yet to settle.
const LOOK: Duration = Duration::from_millis(500);
/// How long a restart of the server may take.
const RESTART: Duration = Duration::from_secs(10);

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
    pub(crate) async fn settle(&self, crew: &mut Crew, patience: Duration) -> io::Result<Verdict> {
        let deadline = clock::now() + patience;
        loop {
            let is_late = clock::now() >= deadline;
            // While agents are missing, their digests are of no interest yet.
            let may_hold = self.counts().await.is_ok_and(|counts| {
                counts.get("agents_complete").and_then(Value::as_u64) >= Some(crew.agents.into())
            });
            if may_hold || is_late {
                match self.agents().await {
                    Ok(believed) => {
                        let verdict = judge(&crew.truth().await?, &believed);
                        if verdict.holds() || is_late {
                            return Ok(verdict);
                        }
                    }
                    Err(error) if is_late => return Err(error),
                    Err(_) => {}
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
