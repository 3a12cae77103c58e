//! A storm as real clients live through it: some wait on their open connection and are admitted with
//! their first dial, others are told when to come again and do so once.
//!
//! The crowd around them is made of bare sockets that ask for an upgrade and stay silent, so that what
//! each client does can be counted at the gateway.
//!
//! What is counted comes from the gateway's metrics and from the client's own log. Times have a strict
//! lower bound, for nothing makes a gateway early; their upper bounds are wide, since a loaded machine
//! makes everything late. Where a scene must be set within the second in which the next agent would be
//! admitted, a machine that is too slow for that is noticed, and the scene is set again.

use std::time::{Duration, Instant};

use seawall::clock;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::PATIENCE;
use crate::support::gateway::Gateway;
use crate::support::interop::agent::{Agent, Transport};
use crate::support::interop::server::PushUid;
use crate::support::interop::world::{Setup, World};
use crate::support::log::{Event, Mark};
use crate::support::socket::{Socket, UPGRADE};

const ACCEPTED: &str = "seawall_edge_accepted_connections_total";
const OUTCOMES: &str = "seawall_admission_outcomes_total";

/// One agent is admitted in this time.
const EACH: Duration = Duration::from_secs(1);
/// The gateway's and the tests' timers may differ by this much.
const TIMER: Duration = Duration::from_millis(100);
/// The clients' clocks are read in whole milliseconds.
const TICK: Duration = Duration::from_millis(1);
/// How late an answer may be that comes at once on a quiet machine. Below half of the default
/// `hold_max`, so that an answer that is held back in error is still noticed.
const LATE: Duration = Duration::from_secs(4);
/// How many times a scene is set before the machine counts as too slow for it.
const ATTEMPTS: usize = 6;

/// Agents that stand before the client in [`entry_from_the_line`]. opamp-go gives an upgrade up after
/// 45 s, and a POST never.
const AHEAD: u32 = 20;

/// A name that stands in a report three times: far more of the POST than its head's buffer holds is
/// still unread when it is refused, and the answer has to arrive all the same.
const LONG_NAME_BYTES: usize = 100_000;

/// One client before a gateway that admits one agent a second, and those of the burst at once.
struct Scene {
    world: World,
    agent: Agent,
}

impl Scene {
    /// Everything runs, and the gateway has yet to see its first arrival.
    async fn set(setup: &Setup, name: &str, transport: Transport, keys: &[(&str, &str)]) -> Self {
        let world = setup
            .world_with(PushUid::Present, |gateway| {
                // A fleet of this size explains every moment that is told here.
                let gateway =
                    gateway.set("admission", "rate", "1").set("admission", "fleet_size", "100");
                keys.iter().fold(gateway, |gateway, (key, value)| {
                    gateway.set("admission", key, &format!("\"{value}\""))
                })
            })
            .await;
        let agent = world.launch(world.options(name).over(transport).waiting());
        agent.event(Mark::default(), "waiting", |_| true).await;
        Self { world, agent }
    }

    fn gateway(&self) -> &Gateway {
        self.world.gateway()
    }

    /// Takes one of the places of the burst. After the last it is one a second.
    async fn first(&self) -> Socket {
        Socket::open(self.gateway().edge()).await
    }

    /// This many sockets ask for an upgrade and leave the answer unread.
    async fn crowd(&self, count: u32) -> Vec<TcpStream> {
        let mut crowd = Vec::new();
        for _ in 0..count {
            let mut stream = TcpStream::connect(self.gateway().edge()).await.expect("it listens");
            stream.write_all(UPGRADE.as_bytes()).await.expect("it takes a request");
            crowd.push(stream);
        }
        crowd
    }

    /// Waits until the client has its connection.
    async fn connected(&self, patience: Duration) -> Event {
        let connected = self.agent.log().wait(Mark::default(), "connected", patience, |_| true);
        connected.await.unwrap_or_else(|| panic!("still waiting after {patience:?}"))
    }

    fn events(&self, name: &str) -> Vec<Event> {
        self.agent.log().events(Mark::default(), name)
    }

    /// How many arrivals the gateway has admitted, and how many of them had waited before.
    async fn admitted(&self) -> (f64, f64) {
        let metrics = self.gateway().metrics().await;
        let of = |outcome| metrics.sum(OUTCOMES, &[("outcome", outcome)]);
        let from_park = of("admitted_from_park");
        (of("admitted") + from_park, from_park)
    }

    /// The client is as well off as one that never met a storm, after this many dials; and the gateway
    /// has admitted `admitted` arrivals and refused `refused` others.
    async fn ends(&mut self, dials: usize, admitted: u32, refused: u32) {
        self.world.converged(&self.agent).await;
        assert_eq!(self.events("dial").len(), dials);
        let all = f64::from(admitted + refused);
        self.gateway().wait_metric(OUTCOMES, &[], |outcomes| outcomes >= all).await;
        let (inside, _) = self.admitted().await;
        let metrics = self.gateway().metrics().await;
        let full = metrics.sum(OUTCOMES, &[("outcome", "refused_park_full")]);
        let counted = [inside, full, metrics.sum(OUTCOMES, &[]), metrics.sum(ACCEPTED, &[])];
        assert_eq!(counted, [f64::from(admitted), f64::from(refused), all, all]);
        self.world.check(&[&self.agent]);
    }
}

/// By the client's own clock.
fn between(earlier: &Event, later: &Event) -> Duration {
    let at = |event: &Event| event.number("at_ms").expect("every event has its time");
    Duration::from_millis(at(later) - at(earlier))
}

/// A client that finds a long line waits in it until all before it are admitted, and needs one dial.
/// Asserted: one dial, no failure, admitted after those before it, at the earliest when the rate allows
/// it and at the latest after one and a half times that.
pub(crate) async fn entry_from_the_line(setup: Setup) {
    tokio::join!(
        from_the_line(&setup, Transport::WebSocket),
        from_the_line(&setup, Transport::Http),
    );
}

async fn from_the_line(setup: &Setup, transport: Transport) {
    // With a burst of one, a place that is given late would be late for all behind it.
    let keys = [("park_horizon", "25s"), ("park_ttl", "40s"), ("burst", "2s")];
    let mut scene = Scene::set(setup, "patient", transport, &keys).await;
    let began = clock::now();
    let _burst = [scene.first().await, scene.first().await];
    let _crowd = scene.crowd(AHEAD).await;
    let there = |count: f64| count >= f64::from(AHEAD + 2);
    scene.gateway().wait_metric(ACCEPTED, &[], there).await;
    scene.agent.dial().await;

    let earliest = EACH * (AHEAD + 1);
    let connected = scene.connected(earliest + PATIENCE).await;
    let came = began.elapsed();
    let waited = between(&scene.events("dial")[0], &connected);
    println!("{:?} {transport:?}: {came:?} of {earliest:?}, waited {waited:?}", setup.version);
    assert!(came + TIMER >= earliest, "admitted after {came:?}, earlier than {earliest:?}");
    assert!(came <= earliest.mul_f64(1.5), "admitted after {came:?} instead of {earliest:?}");
    for failure in ["refused", "connect_failed", "disconnected"] {
        assert!(scene.events(failure).is_empty(), "{failure} while it waited");
    }

    scene.ends(1, AHEAD + 3, 0).await;
    // A slow machine may bring some of the crowd only when the rate has room for them at once.
    let (_, from_park) = scene.admitted().await;
    let parked = f64::from(AHEAD / 2)..=f64::from(AHEAD + 1);
    assert!(parked.contains(&from_park), "{from_park} were admitted from the line");
}

/// How a client is refused.
#[derive(Clone, Copy)]
struct Refused {
    transport: Transport,
    name_bytes: usize,
    /// How many may wait, and do: with them the line is full.
    line: u32,
    /// How many are refused before the client.
    before: u32,
    /// How long its answer is held back.
    hold: Duration,
    /// The seconds that it may be told.
    told: (u64, u64),
}

/// The next agent was due before the scene was set: this machine was too slow this time.
struct TooSlow;

/// A client that is refused for lack of room is told when to come again, comes then and no earlier, and
/// is admitted. Asserted: one refusal with the moment that follows from the agents before it, one dial
/// more, and the gateway's count of both.
pub(crate) async fn entry_at_the_moment_told(setup: Setup) {
    // The client's moment is a second off, and one more for each of those before it, less the 15 percent
    // that are overbooked, and rounding.
    let no_line = Refused {
        transport: Transport::WebSocket,
        name_bytes: 10,
        line: 0,
        before: 4,
        hold: Duration::ZERO,
        told: (2, 6),
    };
    // Here the moment lies at the end of the line, and the hold counts.
    let held =
        Refused { line: 2, before: 3, hold: Duration::from_secs(2), told: (1, 4), ..no_line };
    let http = Transport::Http;
    let cases = [
        no_line,
        held,
        Refused { transport: http, ..no_line },
        Refused { transport: http, name_bytes: LONG_NAME_BYTES, ..held },
    ];
    for case in cases {
        case.run(&setup).await;
    }
}

impl Refused {
    async fn run(self, setup: &Setup) {
        for _ in 0..ATTEMPTS {
            let scene = self.scene(setup).await;
            if self.play(scene).await.is_ok() {
                return;
            }
        }
        panic!("in {ATTEMPTS} attempts the scene was never set within {EACH:?}");
    }

    async fn scene(self, setup: &Setup) -> Scene {
        let (line, hold) = (format!("{}s", self.line), format!("{}s", self.hold.as_secs()));
        let keys = [("park_horizon", &*line), ("hold_max", &*hold)];
        Scene::set(setup, &"x".repeat(self.name_bytes), self.transport, &keys).await
    }

    /// Sets the scene: the burst is used, the line is full, and some have been refused.
    async fn fill(self, scene: &Scene, began: Instant) -> Result<Vec<TcpStream>, TooSlow> {
        let crowd = scene.crowd(self.line + self.before).await;
        let full = [("outcome", "refused_park_full")];
        loop {
            let refused = scene.gateway().metrics().await.sum(OUTCOMES, &full);
            if refused >= f64::from(self.before) {
                return Ok(crowd);
            }
            self.is_in_time(scene, began).await?;
            tokio::task::yield_now().await;
        }
    }

    /// Whether the gateway has admitted the first arrival alone so far. One more within a second of the
    /// beginning would be the gateway's fault; later, the machine was too slow.
    async fn is_in_time(self, scene: &Scene, began: Instant) -> Result<(), TooSlow> {
        let (inside, _) = scene.admitted().await;
        let elapsed = began.elapsed();
        if inside <= 1.0 && elapsed < PATIENCE {
            return Ok(());
        }
        assert!(elapsed + TIMER >= EACH, "{inside} were admitted within {elapsed:?}");
        Err(TooSlow)
    }

    async fn play(self, mut scene: Scene) -> Result<(), TooSlow> {
        let began = clock::now();
        let _first = scene.first().await;
        let _crowd = self.fill(&scene, began).await?;
        scene.agent.dial().await;
        let decided = scene.agent.log().until(PATIENCE, |log| {
            ["refused", "connected"]
                .iter()
                .any(|name| !log.events(Mark::default(), name).is_empty())
        });
        assert!(decided.await, "neither refused nor admitted within {PATIENCE:?}");
        if scene.events("refused").is_empty() {
            // It found room that came up meanwhile.
            self.is_in_time(&scene, began).await?;
        }

        let connected = scene.connected(PATIENCE).await;
        let (dials, refused) = (scene.events("dial"), scene.events("refused"));
        let ([first, second], [refused]) = (&dials[..], &refused[..]) else {
            panic!("{} dials and {} refusals", dials.len(), refused.len());
        };
        self.check_refusal(first, refused);
        let told: u64 = refused.text("retry_after").parse().expect("whole seconds");
        let stayed_away = between(refused, second);
        println!(
            "{:?} {:?}: answered after {:?}, told {told} s, dialled after {stayed_away:?}, in after {:?}",
            scene.agent.options.version,
            self.transport,
            between(first, refused),
            between(second, &connected)
        );
        let told = Duration::from_secs(told);
        assert!(stayed_away + TICK >= told, "back after {stayed_away:?}, told {told:?}");
        assert!(stayed_away <= told + LATE, "back after {stayed_away:?}, told {told:?}");
        assert!(between(second, &connected) <= LATE, "it had to wait for its own moment");
        scene.ends(2, self.line + 2, self.before + 1).await;
        Ok(())
    }

    fn check_refusal(self, dial: &Event, refused: &Event) {
        assert_eq!(refused.number("status"), Some(503));
        let answered = between(dial, refused) + TICK;
        let (earliest, latest) = (self.hold, self.hold + LATE);
        assert!((earliest..=latest).contains(&answered), "the answer came after {answered:?}");
        let told = refused.text("retry_after").parse();
        let (least, most) = self.told;
        assert!(told.is_ok_and(|told| (least..=most).contains(&told)), "{refused:?}");
    }
}
