//! Each second sees at most the rate in closes, and every agent goes, whatever happens meanwhile.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::terms::RATE_AUTOMATIC;
use super::{AgentDrain, Candidate, Drain, DrainPace, DrainPhase, DrainStep, Left, Terms};
use crate::ident::InstanceUid;

/// What one agent, or the machine, does to a drain.
#[derive(Debug, Clone)]
struct DrainedNode {
    rate: u32,
    /// Agents by how often their server lets them wait; over 200 is always.
    agents: Vec<u8>,
    /// How late the task is woken each time, in microseconds.
    lateness: Vec<u32>,
    /// A plain-HTTP agent asks once in this many steps.
    http_every: usize,
}

fn worlds() -> impl Strategy<Value = DrainedNode> {
    let waits = prop_oneof![8 => Just(0_u8), 2 => 1_u8..5, 1 => Just(255)];
    let agents = prop::collection::vec(waits, 0..150);
    let lateness =
        prop::collection::vec(prop_oneof![4 => 0..2_000_u32, 1 => 0..900_000_u32], 1..40);
    (1..400_u32, agents, lateness, 1..20_usize).prop_map(|(rate, agents, lateness, http_every)| {
        DrainedNode { rate, agents, lateness, http_every }
    })
}

fn uid(n: usize) -> InstanceUid {
    InstanceUid::from_bytes((n as u128).to_be_bytes())
}

/// What came of it.
struct DrainRun {
    closed: Vec<Instant>,
    cut: bool,
    forgotten: usize,
    end: Instant,
}

/// This many connections, and as many sessions.
const fn left(connections: usize) -> Left {
    Left { connections, sessions: connections }
}

fn run(world: &DrainedNode, time_max: Duration) -> DrainRun {
    let start = crate::clock::now();
    let rate = NonZeroU32::new(world.rate);
    let mut drain =
        Drain::new(Terms { rate, notice: Duration::from_secs(1), time_max, ..Terms::default() });
    let mut here: HashMap<InstanceUid, u8> =
        world.agents.iter().enumerate().map(|(n, waits)| (uid(n), *waits)).collect();
    let mut run = DrainRun { closed: Vec::new(), cut: false, forgotten: 0, end: start };
    let mut late = world.lateness.iter().cycle();
    let (mut now, mut http) = (start, 50);
    drain.begin(now);
    for step in 0.. {
        assert!(step < 1_000_000, "it goes on for ever");
        let asks = http > 0 && step % world.http_every == 0;
        if asks && drain.phase() == DrainPhase::Closing && drain.may_close(now, true) {
            http -= 1;
            run.closed.push(now);
        }
        match drain.next(now, left(here.len())) {
            DrainStep::Wait(until) => {
                assert!(until > now, "waiting for what is past");
                now = until + Duration::from_micros((*late.next().unwrap()).into());
            }
            DrainStep::AssumeMoves => assert_eq!(now, start),
            DrainStep::StopAccepting { .. } => assert!(now >= start + Duration::from_secs(1)),
            DrainStep::Census => {
                let of = |uid: &InstanceUid| Candidate { uid: *uid, active: None, shuffle_key: 7 };
                drain.line_up(here.keys().map(of).collect(), now);
            }
            DrainStep::Close { uid, patient } => match here.get_mut(&uid) {
                Some(waits @ 1..) if patient => {
                    *waits -= u8::from(*waits < 200);
                    drain.closed(AgentDrain::Pending, now);
                }
                Some(_) => {
                    here.remove(&uid);
                    run.closed.push(now);
                    drain.closed(AgentDrain::Closing, now);
                }
                None => drain.closed(AgentDrain::Absent, now),
            },
            DrainStep::CloseAll => {
                run.cut = true;
                here.clear();
            }
            DrainStep::ForgetMoved => run.forgotten += 1,
            DrainStep::StopLinks => drain.links_stopped(now),
            DrainStep::Over => break,
        }
    }
    run.end = now;
    assert!(here.is_empty() && drain.phase() == DrainPhase::Drained && run.forgotten == 1);
    run
}

/// Most events in any second.
fn worst(times: &[Instant]) -> usize {
    let second = Duration::from_secs(1);
    let within =
        |(n, from): (usize, &Instant)| times[n..].partition_point(|at| *at - *from < second);
    times.iter().enumerate().map(within).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn each_second_sees_at_most_the_rate_and_every_agent_goes(world in worlds()) {
        let run = run(&world, Duration::from_secs(3_600));
        prop_assert!(!run.cut);
        prop_assert!(run.closed.len() >= world.agents.len());
        prop_assert!(worst(&run.closed) <= world.rate as usize);
    }

    #[test]
    fn when_time_is_up_the_rest_goes_at_once(world in worlds()) {
        let start = crate::clock::now();
        let run = run(&world, Duration::from_secs(2));
        prop_assert!(worst(&run.closed) <= world.rate as usize);
        // The last wait may be overslept once.
        prop_assert!(run.end - start < Duration::from_secs(6));
    }

    #[test]
    fn the_pace_holds_in_any_second(rate in 1..3_000_u32, gaps in prop::collection::vec(0..50_000_u32, 1..4_000)) {
        let mut pace = DrainPace::new(NonZeroU32::new(rate).unwrap());
        let mut now = crate::clock::now();
        let mut taken = Vec::new();
        for gap in gaps {
            now += Duration::from_micros(gap.into());
            while pace.take(now).is_ok() {
                taken.push(now);
            }
        }
        prop_assert!(worst(&taken) <= rate as usize);
    }
}

#[test]
fn a_long_drain_keeps_close_to_the_rate() {
    let agents = vec![0; 8_000];
    let world = DrainedNode {
        rate: RATE_AUTOMATIC.get(),
        agents,
        lateness: vec![900],
        http_every: 1 << 30,
    };
    let start = crate::clock::now();
    let run = run(&world, Duration::from_secs(60));
    let took = run.end - start;
    assert!((8.9..9.3).contains(&took.as_secs_f64()), "{took:?}, a second of notice included");
}

/// Begins a drain whose notice is zero.
fn begin(drain: &mut Drain, now: Instant, open: usize) {
    drain.begin(now);
    assert_eq!(drain.next(now, left(open)), DrainStep::AssumeMoves);
    assert_eq!(drain.next(now, left(open)), DrainStep::StopAccepting { left_over: 0 });
}

#[test]
fn the_most_recently_active_go_last() {
    let now = crate::clock::now() + Duration::from_secs(100);
    let rate = NonZeroU32::new(1_000_000);
    let mut drain = Drain::new(Terms { rate, notice: Duration::ZERO, ..Terms::default() });
    begin(&mut drain, now, 5);
    assert_eq!(drain.next(now, left(5)), DrainStep::Census);
    let ago = |seconds| Some(now - Duration::from_secs(seconds));
    let here = [(1, ago(0), 1), (2, None, 9), (3, ago(5), 2), (4, ago(99), 3), (5, ago(20), 0)];
    let of = |(n, active, shuffle_key)| Candidate { uid: uid(n), active, shuffle_key };
    drain.line_up(here.map(of).to_vec(), now);
    for expected in [4, 2, 5, 3, 1] {
        let DrainStep::Close { uid: next, patient: true } = drain.next(now, left(5)) else {
            panic!()
        };
        assert_eq!(next, uid(expected));
        drain.closed(AgentDrain::Closing, now);
    }
}

#[test]
fn plain_http_agents_wait_for_their_server_s_answer_for_a_while() {
    let now = crate::clock::now();
    let mut drain = Drain::new(Terms { notice: Duration::ZERO, ..Terms::default() });
    begin(&mut drain, now, 1);
    assert!(!drain.may_close(now, false));
    assert!(drain.may_close(now, true));
    assert!(drain.may_close(now + Duration::from_secs(10), false));
}

#[test]
fn all_connections_stay_until_closing_begins() {
    let now = crate::clock::now();
    let mut drain = Drain::new(Terms::default());
    assert!(!drain.may_close(now, true));
    drain.begin(now);
    assert!(!drain.may_close(now, true));
    assert_eq!(drain.next(now, left(1)), DrainStep::AssumeMoves);
    assert_eq!(drain.next(now, left(1)), DrainStep::Wait(now + Duration::from_secs(5)));
    drain.begin(now + Duration::from_secs(1));
    assert_eq!(
        drain.next(now, left(1)),
        DrainStep::Wait(now + Duration::from_secs(5)),
        "it had begun"
    );
}

#[test]
fn an_automatic_rate_is_half_of_what_this_node_admits() {
    let rate = |rate| NonZeroU32::new(rate);
    let of = |set, entry| {
        Terms { rate: rate(set), ..Terms::default() }.after_admission(rate(entry)).rate().get()
    };
    assert_eq!((of(0, 0), of(0, 100_000), of(0, 500), of(0, 1)), (1_000, 1_000, 250, 1));
    assert_eq!((of(40, 500), of(4_000, 0)), (40, 4_000), "what is set is set");
}

#[test]
fn in_a_fleet_an_automatic_rate_is_half_of_what_the_others_admit() {
    let now = crate::clock::now();
    let terms = Terms { notice: Duration::ZERO, ..Terms::default() };
    let mut drain = Drain::new(terms.after_admission(NonZeroU32::new(100)));
    drain.others_admit(NonZeroU32::new(9_000).unwrap());
    begin(&mut drain, now, 10);
    assert_eq!(drain.rate().get(), 4_500);
    drain.others_admit(NonZeroU32::new(1).unwrap());
    assert_eq!(drain.rate().get(), 4_500, "closing has begun");
    let mut set = Drain::new(Terms { rate: NonZeroU32::new(40), ..terms });
    set.others_admit(NonZeroU32::new(9_000).unwrap());
    begin(&mut set, now, 10);
    assert_eq!(set.rate().get(), 40);
}

#[test]
fn an_automatic_rate_suffices_for_all_connections() {
    let terms = Terms::default().after_admission(NonZeroU32::new(400));
    let at = |open| (terms.rate_for(open).get(), terms.left_over(open));
    assert_eq!((at(10_000), at(54_000)), ((200, 0), (200, 0)));
    assert_eq!(at(100_000), (371, 0), "in nine tenths of 300 s");
    let set = Terms { rate: NonZeroU32::new(100), ..terms };
    assert_eq!((set.rate_for(100_000).get(), set.left_over(100_000)), (100, 70_000));
    let now = crate::clock::now();
    let mut drain = Drain::new(Terms { notice: Duration::ZERO, ..terms });
    begin(&mut drain, now, 100_000);
    assert_eq!(drain.rate().get(), 371);
}

#[test]
fn servers_hear_goodbyes_before_the_links_stop_and_only_for_a_while() {
    let now = crate::clock::now();
    let drained = |goodbyes| {
        let mut drain = Drain::new(Terms { notice: Duration::ZERO, ..Terms::default() });
        begin(&mut drain, now, 1);
        let left = Left { connections: 0, sessions: goodbyes };
        assert_eq!(drain.next(now, left), DrainStep::ForgetMoved);
        (drain, left)
    };
    let (mut drain, left) = drained(0);
    assert_eq!(drain.next(now, left), DrainStep::StopLinks);
    drain.links_stopped(now);
    assert_eq!((drain.next(now, left), drain.phase()), (DrainStep::Over, DrainPhase::Drained));
    let (mut drain, left) = drained(3);
    let soon = now + Duration::from_secs(4);
    assert_eq!(drain.next(soon, left), DrainStep::Wait(soon + Duration::from_millis(100)));
    assert_eq!(drain.next(now + Duration::from_secs(5), left), DrainStep::StopLinks);
}

#[test]
fn connections_that_ignore_the_cut_are_given_up() {
    let now = crate::clock::now();
    let terms = Terms { rate: NonZeroU32::new(1), notice: Duration::ZERO, ..Terms::default() };
    let mut drain = Drain::new(terms);
    drain.begin(now);
    assert_eq!(drain.next(now, left(301)), DrainStep::AssumeMoves);
    assert_eq!(drain.next(now, left(301)), DrainStep::StopAccepting { left_over: 1 });
    let late = now + Duration::from_secs(300);
    assert_eq!(drain.next(late, left(9)), DrainStep::CloseAll);
    assert!(matches!(drain.next(late, left(9)), DrainStep::Wait(_)));
    assert!(drain.may_close(late, false), "each other connection ends too");
    assert_eq!(drain.next(late + Duration::from_secs(5), left(9)), DrainStep::ForgetMoved);
}
