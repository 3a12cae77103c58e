//! A storm as real clients live through it: some wait in the line and come in with their first dial,
//! others are told when to come again and do so once.
//!
//! The crowd around them is made of bare sockets that ask for an upgrade and never come back, so that
//! what each client does can be counted at the gateway.

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

/// A moment may be missed by so much: processes share the cores.
const SLACK: Duration = Duration::from_millis(1_500);
/// An agent that was refused without being held has its answer by then.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The clients' clocks are read in whole milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// Of those who stand before the client in [`entry_from_the_line`]. opamp-go gives an upgrade up after
/// 45 s, and a POST never.
const AHEAD: u32 = 20;

/// A name that stands in a report three times: far more of the POST than its head's buffer holds is
/// still unread when it is refused, and the answer has to arrive all the same.
const LONG_NAME_BYTES: usize = 100_000;

/// One client before a gateway where one comes in each second, those of the burst at once.
struct Scene {
    world: World,
    agent: Agent,
}

impl Scene {
    /// Everything runs, and nobody has knocked yet.
    async fn set(setup: &Setup, name: &str, transport: Transport, keys: &[(&str, &str)]) -> Self {
        let world = setup
            .world_with(PushUid::Present, |gateway| {
                // A fleet so large explains every moment that is told here.
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

    /// Takes one of those that the gateway lets in at once. After the last it is one a second.
    async fn first(&self) -> (Socket, Instant) {
        (Socket::open(self.gateway().edge()).await, clock::now())
    }

    /// So many ask for an upgrade, and do not read the answer.
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
        connected.await.unwrap_or_else(|| panic!("not in after {patience:?}"))
    }

    fn events(&self, name: &str) -> Vec<Event> {
        self.agent.log().events(Mark::default(), name)
    }

    /// The client is as well off as one that never met a storm, with so many dials; and the gateway has
    /// let so many in, and refused so many others.
    async fn ends(&mut self, dials: usize, let_in: u32, refused: u32) {
        self.world.converged(&self.agent).await;
        assert_eq!(self.events("dial").len(), dials);
        let metrics = self.gateway().metrics().await;
        let of = |outcome| metrics.sum(OUTCOMES, &[("outcome", outcome)]);
        let inside = of("admitted") + of("admitted_from_park");
        let counted = [inside, of("refused_park_full"), metrics.sum(OUTCOMES, &[])];
        assert_eq!(counted, [let_in, refused, let_in + refused].map(f64::from));
        assert_eq!(metrics.sum(ACCEPTED, &[]), f64::from(let_in + refused));
        self.world.check(&[&self.agent]);
    }
}

/// By the client's own clock.
fn between(earlier: &Event, later: &Event) -> Duration {
    let at = |event: &Event| event.number("at_ms").expect("every event has its time");
    Duration::from_millis(at(later) - at(earlier))
}

/// Whoever finds a long line waits in it for as long as that takes, and needs one dial.
pub(crate) async fn entry_from_the_line(setup: Setup) {
    tokio::join!(
        from_the_line(&setup, Transport::WebSocket),
        from_the_line(&setup, Transport::Http),
    );
}

async fn from_the_line(setup: &Setup, transport: Transport) {
    // Where no more than one can be saved up, a turn that is given late is late for all behind it.
    let keys = [("park_horizon", "25s"), ("park_ttl", "30s"), ("burst", "2s")];
    let mut scene = Scene::set(setup, "patient", transport, &keys).await;
    let (_first, began) = scene.first().await;
    let _second = scene.first().await;
    let _crowd = scene.crowd(AHEAD).await;
    let there = |count: f64| count >= f64::from(AHEAD + 2);
    scene.gateway().wait_metric(ACCEPTED, &[], there).await;
    scene.agent.dial().await;

    let turn = Duration::from_secs(u64::from(AHEAD) + 1);
    let connected = scene.connected(turn + PATIENCE).await;
    let came = began.elapsed();
    let waited = between(&scene.events("dial")[0], &connected);
    println!("{:?} {transport:?}: in after {came:?} of {turn:?}, waited {waited:?}", setup.version);
    assert!(came.abs_diff(turn) <= SLACK, "in after {came:?} instead of {turn:?}");
    assert!(waited.abs_diff(came) <= SLACK, "it waited {waited:?} of {came:?}");
    for failure in ["refused", "connect_failed", "disconnected"] {
        assert!(scene.events(failure).is_empty(), "{failure} while it waited");
    }

    scene.ends(1, AHEAD + 3, 0).await;
    let metrics = scene.gateway().metrics().await;
    let from_park = metrics.sum(OUTCOMES, &[("outcome", "admitted_from_park")]);
    assert_eq!(from_park, f64::from(AHEAD + 1));
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

/// Whoever finds no room is told when to come again, comes then, not earlier, and is let in.
pub(crate) async fn entry_at_the_moment_told(setup: Setup) {
    // The client's moment is a second off, and one more for each of those before it, less the fifteen
    // of a hundred that are overbooked, and rounding.
    let no_line = Refused {
        transport: Transport::WebSocket,
        name_bytes: 10,
        line: 0,
        before: 4,
        hold: Duration::ZERO,
        told: (2, 6),
    };
    // Here it is the end of the line, and the hold counts.
    let held =
        Refused { line: 2, before: 3, hold: Duration::from_secs(2), told: (1, 4), ..no_line };
    let http = Transport::Http;
    let cases = [
        no_line,
        held,
        Refused { transport: http, ..no_line },
        Refused { transport: http, name_bytes: LONG_NAME_BYTES, ..held },
    ];
    // All have to be there within the second in which the next one may come in, so the starting of
    // processes is over before.
    let [a, b, c, d] = cases.map(|case| case.scene(&setup));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    let [one, two, three, four] = cases;
    tokio::join!(one.play(a), two.play(b), three.play(c), four.play(d));
}

impl Refused {
    async fn scene(self, setup: &Setup) -> Scene {
        let (line, hold) = (format!("{}s", self.line), format!("{}s", self.hold.as_secs()));
        let keys = [("park_horizon", &*line), ("hold_max", &*hold)];
        Scene::set(setup, &"x".repeat(self.name_bytes), self.transport, &keys).await
    }

    async fn play(self, mut scene: Scene) {
        let _first = scene.first().await;
        let _crowd = scene.crowd(self.line + self.before).await;
        let full = [("outcome", "refused_park_full")];
        let all = f64::from(self.before);
        scene.gateway().wait_metric(OUTCOMES, &full, |refused| refused >= all).await;
        scene.agent.dial().await;

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
        assert!(stayed_away <= told + SLACK, "back after {stayed_away:?}, told {told:?}");
        assert!(between(second, &connected) <= SLACK, "it had to wait for its own moment");
        scene.ends(2, self.line + 2, self.before + 1).await;
    }

    fn check_refusal(self, dial: &Event, refused: &Event) {
        assert_eq!(refused.number("status"), Some(503));
        let answered = between(dial, refused) + TICK;
        let (earliest, latest) = (self.hold, self.hold + AT_ONCE);
        assert!((earliest..=latest).contains(&answered), "the answer came after {answered:?}");
        let told = refused.text("retry_after").parse();
        let (least, most) = self.told;
        assert!(told.is_ok_and(|told| (least..=most).contains(&told)), "{refused:?}");
    }
}
