//! What a connection does between its request and its answer: nothing, and that cheaply.

use std::time::{Duration, Instant};

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;

use super::shared::{Answer, Refused};
use super::{AdmissionService, ArrivalSource, Entered};
use crate::clock;
use crate::core::admission::{Outcome, Turn};
use crate::edge::lingering_close;
use crate::telemetry::events::admission::AdmissionDecided;

/// Sees to it that each accepted connection is counted with exactly one outcome.
pub(in crate::edge) struct Counted {
    open: bool,
    parked: Option<Instant>,
}

impl Counted {
    /// A connection that has not asked yet.
    pub(in crate::edge) const fn new() -> Self {
        Self { open: true, parked: None }
    }

    fn count(&mut self, outcome: Outcome) {
        if std::mem::take(&mut self.open) {
            let parked = self.parked.map(|since| clock::now().saturating_duration_since(since));
            AdmissionDecided { outcome, parked: parked.unwrap_or_default() }.emit();
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let parked = self.parked.is_some();
        self.count(if parked { Outcome::Left } else { Outcome::NotAsked });
    }
}

/// Asks for entry, waits if that is what is to be done, and answers if the answer is no.
pub(in crate::edge) async fn enter(
    admission: &AdmissionService,
    socket: &mut TcpStream,
    source: ArrivalSource,
    counted: &mut Counted,
) -> Entered {
    let refused = match admission.shared.arrive(admission.fairness.count(source)) {
        Answer::Admit => {
            counted.count(Outcome::Admitted);
            return Entered::In;
        }
        Answer::Refuse(refused) => refused,
        Answer::Park(mut parked) => {
            counted.parked = Some(clock::now());
            let turn = tokio::select! {
                biased;
                turn = parked.turn() => turn,
                () = gone(socket) => None,
            };
            match turn {
                Some(Turn::Admit) => {
                    counted.count(Outcome::AdmittedFromPark);
                    return Entered::In;
                }
                Some(Turn::Refuse(refusal)) => Refused::new(parked.shared(), refusal),
                None => {
                    counted.count(Outcome::Left);
                    return Entered::Left;
                }
            }
        }
    };
    counted.count(Outcome::Refused(refused.refusal.reason));
    // Boxed, so that whoever waits for its turn does not hold the room for this.
    Box::pin(refuse(refused, socket)).await;
    Entered::Refused
}

/// Holds the refusal, then sends it.
async fn refuse(refused: Refused, socket: &mut TcpStream) {
    let refusal = refused.refusal;
    if !refusal.hold.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(refusal.hold) => {}
            () = gone(socket) => return,
        }
    }
    // Closing takes its time, and that is not the place's.
    drop(refused);
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        refusal.retry_after.as_secs()
    );
    // The same for those who are held.
    Box::pin(say(&answer, socket)).await;
}

/// Answers and closes. A peer that does not take it at once gets nothing.
async fn say(answer: &str, socket: &mut TcpStream) {
    let written =
        tokio::time::timeout(lingering_close::PATIENCE, socket.write_all(answer.as_bytes()));
    if let Ok(Ok(())) = written.await {
        lingering_close::close(socket).await;
    }
}

/// Ready when the agent has gone.
///
/// What it has sent behind the request's head stays in the kernel: read here, it would have to be kept.
/// While there is such, the socket is ready all the time and has to be looked at again and again.
async fn gone(socket: &TcpStream) {
    const LOOK_AGAIN: Duration = Duration::from_secs(1);
    loop {
        match socket.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => tokio::time::sleep(LOOK_AGAIN).await,
            _ => return,
        }
    }
}
