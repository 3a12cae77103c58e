//! Agents over plain HTTP that give a request up and say the same once more, over another front.

use super::*;

const ASKS: u64 = 1;

/// An agent that polls, and what it has heard.
struct Polling {
    agent: Roaming,
    offers: Vec<Vec<u8>>,
    asked: usize,
}

impl NodesBench {
    /// The first frames that are under way arrive.
    fn brings(&mut self, frames: usize) {
        for _ in 0..frames {
            let Some((from, to, frame)) = self.net.frames.lock().pop_front() else { return };
            self.fleet(to).from_node(incarnation(from), &frame).unwrap();
        }
    }

    fn offers(&self, n: u8, hash: u8) {
        let remote_config =
            Some(AgentRemoteConfig { config_hash: vec![hash], ..AgentRemoteConfig::default() });
        let home = self.home(n);
        self.nodes[home].says(n, &ServerToAgent { remote_config, ..ServerToAgent::default() });
    }
}

impl Polling {
    /// It gives its request up at those nodes, each after that number of frames between nodes, and then waits for the
    /// answer of the last.
    fn says(
        &mut self,
        fleet: &mut NodesBench,
        given_up: &[(usize, usize)],
        at: usize,
        message: &AgentToServer,
    ) {
        for (at, frames) in given_up {
            let instance_uid = vec![self.agent.n; 16];
            let sequence_num = self.agent.number;
            let message = AgentToServer { instance_uid, sequence_num, ..message.clone() };
            let sessions = &fleet.nodes[*at].sessions;
            let request = sessions.receive_http(&message.encode_to_vec()).unwrap();
            fleet.brings(*frames);
            drop(request);
        }
        let answer = self.agent.posts(fleet, at, message.clone());
        self.offers.extend(answer.remote_config.map(|offer| offer.config_hash));
        self.asked += usize::from(answer.flags & ASKS != 0);
    }
}

/// R6, R7: an answer that is lost costs no question, whatever becomes of the request that it was for, and whichever
/// front has that and the next. What was offered arrives.
#[test]
fn a_lost_answer_costs_nothing_wherever_the_agent_says_the_same_again() {
    for case in (0..9 * 9 * 3 * 3).step_by(10) {
        let (first, second) = (case % 9, case / 9 % 9);
        let (one, other) = (case / 81 % 3, case / 243 % 3);
        let mut fleet = NodesBench::new();
        let n = (1..=u8::MAX).find(|n| fleet.home(*n) == 1).unwrap();
        let mut it = Polling { agent: Roaming::new(n), offers: Vec::new(), asked: 0 };
        let full = it.agent.full();
        it.says(&mut fleet, &[], other, &full);
        // Number 1 once more may be another process's first.
        it.says(&mut fleet, &[], other, &heartbeat_of_agent());
        for round in 0..4 {
            fleet.offers(n, round);
            it.agent.health += u64::from(round % 2);
            let report = it.agent.health_report();
            let given_up = [(one, first), (other, second)];
            it.says(&mut fleet, &given_up, (one + 1) % NODES, &report);
            it.says(&mut fleet, &[], other, &heartbeat_of_agent());
        }
        it.says(&mut fleet, &[], one, &heartbeat_of_agent());
        it.offers.dedup();
        let all: Vec<Vec<u8>> = (0..4).map(|round| vec![round]).collect();
        assert_eq!((it.asked, it.offers), (0, all), "{first} {second} {one} {other}");
        assert_eq!(fleet.known[&n].health, Some(it.agent.health));
        assert_eq!(fleet.full_states(), 1);
    }
}
