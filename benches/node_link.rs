//! What a round trip over a node link costs: an agent's report goes to another node, and the answer comes
//! back. Both nodes are in this process, on loopback, so processor time is that of both together.
//!
//! The yardstick moves the same bytes over bare UDP sockets, one datagram a frame: what the system asks for
//! before QUIC has done anything. `cargo bench --bench node_link`.
#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use seawall::cluster::{
    FrameBounds, LinkLoss, Member, NodeIdentity, NodeLink, NodeLinkEvents, NodeLinks,
    NodeLinksParams,
};
use seawall::core::ownership::{NodeIncarnation, NodeName};
use seawall::ident::InstanceUid;
use tokio::net::UdpSocket;
use tokio::sync::{Notify, watch};

/// An unchanged report as digests, and its answer.
const REPORT_BYTES: usize = 220;
const REPLY_BYTES: usize = 60;

/// How long each case is measured, after a warm-up of a tenth of it.
const MEASURED: Duration = Duration::from_secs(3);

fn main() {
    println!("| case | p50 us | p99 us | round trips a second | CPU us each |");
    println!("|---|---|---|---|---|");
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    for depth in [1, 64] {
        runtime.block_on(yardstick(depth)).print(&format!("yardstick: UDP, depth {depth}"));
        runtime.block_on(node_link(depth)).print(&format!("node link, depth {depth}"));
    }
}

/// Round trips and what they took.
struct Measured {
    times: Vec<Duration>,
    elapsed: Duration,
    processor: Duration,
}

impl Measured {
    fn print(mut self, case: &str) {
        self.times.sort_unstable();
        let count = self.times.len();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let (p50, p99) = (micros(self.times[count / 2]), micros(self.times[count * 99 / 100]));
        let count = f64::from(u32::try_from(count).unwrap());
        let rate = count / self.elapsed.as_secs_f64();
        let each = micros(self.processor) / count;
        println!("| {case} | {p50:.1} | {p99:.1} | {rate:.0} | {each:.1} |");
    }
}

/// Collects round trips; the first ones warm up.
struct Clock {
    begin: Instant,
    started: Option<(Instant, Duration)>,
    times: Vec<Duration>,
}

impl Clock {
    fn new() -> Self {
        Self { begin: now(), started: None, times: Vec::with_capacity(1 << 20) }
    }

    /// A round trip is over. `false`: enough.
    fn lap(&mut self, since: Instant) -> bool {
        let now = now();
        match self.started {
            None if now - self.begin > MEASURED / 10 => {
                self.started = Some((now, processor_time()));
                true
            }
            None => true,
            Some((started, _)) => {
                self.times.push(now - since);
                now - started < MEASURED
            }
        }
    }

    fn measured(&mut self) -> Measured {
        let (started, before) = self.started.unwrap();
        Measured {
            times: std::mem::take(&mut self.times),
            elapsed: now() - started,
            processor: processor_time() - before,
        }
    }
}

#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Answers each report.
struct Home;

impl NodeLinkEvents for Home {
    fn reached(&self, _: &NodeLink) {}

    fn frame(&self, link: &NodeLink, report: &[u8]) {
        let uid = InstanceUid::from_bytes(report[..16].try_into().unwrap());
        link.send(uid, |out| {
            out.extend_from_slice(&report[..16]);
            out.resize(out.len() + REPLY_BYTES - 16, 1);
        })
        .unwrap();
    }

    fn control(&self, _: &NodeLink, _: &[u8]) {}

    fn lost(&self, _: &NodeLink, _: &LinkLoss) {}
}

/// Sends the next report of an agent when the answer to its last one is there.
struct Front {
    reached: watch::Sender<Option<NodeLink>>,
    agents: Mutex<(Vec<Instant>, Clock)>,
    over: Notify,
}

impl Front {
    fn report(&self, link: &NodeLink, agent: usize) {
        let mut uid = [0x5a; 16];
        uid[..8].copy_from_slice(&(agent as u64).to_be_bytes());
        self.agents.lock().0[agent] = now();
        link.send(InstanceUid::from_bytes(uid), |out| {
            out.extend_from_slice(&uid);
            out.resize(out.len() + REPORT_BYTES - 16, 1);
        })
        .unwrap();
    }
}

impl NodeLinkEvents for Front {
    fn reached(&self, link: &NodeLink) {
        self.reached.send_replace(Some(link.clone()));
    }

    fn frame(&self, link: &NodeLink, reply: &[u8]) {
        let agent = usize::try_from(u64::from_be_bytes(reply[..8].try_into().unwrap())).unwrap();
        let mut agents = self.agents.lock();
        let since = agents.0[agent];
        let goes_on = agents.1.lap(since);
        drop(agents);
        if goes_on {
            self.report(link, agent);
        } else {
            self.over.notify_one();
        }
    }

    fn control(&self, _: &NodeLink, _: &[u8]) {}

    fn lost(&self, _: &NodeLink, _: &LinkLoss) {}
}

struct Node {
    links: NodeLinks,
    member: Member,
    members: watch::Sender<Arc<[Member]>>,
}

fn start(number: u64, events: Arc<dyn NodeLinkEvents>) -> Node {
    let identity = NodeIdentity::generate().unwrap();
    let (members, receiver) = watch::channel(Arc::from([]));
    let (incarnation, fingerprint) =
        (NodeIncarnation::new(number).unwrap(), identity.fingerprint());
    let params = NodeLinksParams {
        incarnation,
        identity,
        listen: "127.0.0.1:0".parse().unwrap(),
        members: receiver,
        bounds: FrameBounds::DEFAULT,
    };
    let links = NodeLinks::start(params, events).unwrap();
    let (name, address) = (NodeName::try_new("bench").unwrap(), Some(links.local_addr().unwrap()));
    Node { links, member: Member { name, incarnation, address, fingerprint }, members }
}

async fn node_link(depth: usize) -> Measured {
    let (reached, mut link) = watch::channel(None);
    let agents = Mutex::new((vec![now(); depth], Clock::new()));
    let front = Arc::new(Front { reached, agents, over: Notify::new() });
    let (one, two) = (start(1, Arc::clone(&front) as _), start(2, Arc::new(Home)));
    let members: Arc<[Member]> = Arc::from([one.member.clone(), two.member.clone()]);
    one.members.send_replace(Arc::clone(&members));
    two.members.send_replace(members);
    let link = link.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    for agent in 0..depth {
        front.report(&link, agent);
    }
    front.over.notified().await;
    let measured = front.agents.lock().1.measured();
    one.links.close().await;
    two.links.close().await;
    measured
}

async fn yardstick(depth: usize) -> Measured {
    let home = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    front.connect(home.local_addr().unwrap()).await.unwrap();
    let answers = tokio::spawn(async move {
        let mut report = [0; REPORT_BYTES];
        loop {
            let (_, from) = home.recv_from(&mut report).await.unwrap();
            home.send_to(&report[..REPLY_BYTES], from).await.unwrap();
        }
    });
    let measured = tokio::spawn(async move {
        let (mut since, mut clock) = (vec![now(); depth], Clock::new());
        let (mut report, mut reply) = ([0; REPORT_BYTES], [0; REPLY_BYTES]);
        for agent in 0..depth {
            report[..8].copy_from_slice(&(agent as u64).to_be_bytes());
            front.send(&report).await.unwrap();
        }
        loop {
            front.recv(&mut reply).await.unwrap();
            let agent =
                usize::try_from(u64::from_be_bytes(reply[..8].try_into().unwrap())).unwrap();
            if !clock.lap(since[agent]) {
                return clock.measured();
            }
            report[..8].copy_from_slice(&reply[..8]);
            since[agent] = now();
            front.send(&report).await.unwrap();
        }
    });
    let measured = measured.await.unwrap();
    answers.abort();
    measured
}
