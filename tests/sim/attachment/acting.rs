//! What the agents do: speak, move, connect.

use seawall::core::attachment::{AgentAbout, FrontAttachment};
use seawall::core::node_link::{AgentConnection, Handle};
use seawall::ident::ConnectionId;
use seawall::opamp::AgentScan;

use super::agent::Say;
use super::node::FrontConnection;
use super::world::{CALM, Event, FAULTS, LAST_WORDS, NODES, REPLY_WITHIN, SETTLES, World};

impl World {
    pub(super) fn act(&mut self, agent: usize) {
        let wait = if self.calm { (100, 900) } else { (5, 700) };
        self.soon(wait.0, wait.1, Event::Act(agent));
        if !self.calm && self.plan.moves && self.random.percent(12) {
            return self.moves(agent);
        }
        if self.agents[agent].at.is_none() && !self.agents[agent].polls {
            return;
        }
        if self.agents[agent].wants_to_say.is_empty() {
            let ends = self.now > self.start + FAULTS + CALM - LAST_WORDS;
            let say = match self.random.below(10) {
                _ if ends => Say::Heartbeat,
                0..=4 => Say::Heartbeat,
                5..=7 => Say::Changed,
                _ => Say::Custom,
            };
            self.agents[agent].wants_to_say.push_back(say);
        }
        self.speak(agent);
    }

    /// The agent leaves its connection, orderly or not, and dials again, often within milliseconds.
    fn moves(&mut self, agent: usize) {
        if let Some((node, handle)) = self.agents[agent].at.take() {
            // One that waits for an answer no longer closes its socket.
            if self.random.percent(50) || self.agents[agent].polls {
                self.socket_closed(node, handle);
            } else {
                if let Some(front) = self.nodes[node].fronts.get_mut(&handle) {
                    front.open = false;
                }
                self.soon(20, 6_000, Event::Stale { node, handle });
            }
            let it = &mut self.agents[agent];
            it.says_again = it.polls && it.said.is_some() && self.random.percent(60);
            if self.random.percent(15) {
                self.agents[agent].restart();
            }
        }
        self.soon(1, 60, Event::Connect(agent));
    }

    pub(super) fn connect(&mut self, agent: usize) {
        if self.agents[agent].at.is_some() {
            return;
        }
        if self.agents[agent].polls {
            self.agents[agent].greet(false);
            return self.speak(agent);
        }
        self.dial(agent, AgentConnection::WebSocket);
        let compressed = self.random.percent(60);
        self.agents[agent].greet(compressed);
        self.speak(agent);
    }

    fn dial(&mut self, agent: usize, transport: AgentConnection) {
        let node = self.random.index(NODES);
        let uid = self.agents[agent].uid;
        let home = self.reachable_home(node, uid);
        let it = &mut self.nodes[node];
        it.next_connection += 1;
        let handle = Handle { uid, connection: ConnectionId(it.next_connection) };
        let about = AgentAbout { transport, client: 0, identity: Box::default() };
        let attachment = FrontAttachment::new(handle, about, home);
        let connection = FrontConnection {
            attachment,
            agent,
            open: true,
            polls: transport == AgentConnection::PlainHttp,
            away: false,
            said: 0,
            replied: 0,
            epoch: 0,
            last_offer: 0,
        };
        it.fronts.insert(handle, connection);
        self.agents[agent].at = Some((node, handle));
        self.tell(|| format!("agent {agent} connects to node {node} as {:?}", handle.connection));
    }

    /// The agent says all that it has to say. One that polls says one thing, if its last request is answered.
    pub(super) fn speak(&mut self, agent: usize) {
        let it = &self.agents[agent];
        if it.polls {
            if it.at.is_some() || it.wants_to_say.is_empty() && !it.says_again {
                return;
            }
            self.dial(agent, AgentConnection::PlainHttp);
            if std::mem::take(&mut self.agents[agent].says_again) {
                return self.says_again(agent);
            }
        }
        while let Some((node, handle)) = self.agents[agent].at
            && let Some(front) = self.nodes[node].fronts.get_mut(&handle)
            && (!front.polls || front.said == 0)
            && front.attachment.may_read(&self.front_policy)
            && let Some(say) = self.agents[agent].wants_to_say.pop_front()
        {
            if say == Say::Changed {
                let by = self.random.below(2);
                self.agents[agent].change(by);
            }
            front.said += 1;
            let said = front.said;
            let bytes = self.agents[agent].say(say);
            if self.agents[agent].polls {
                // Custom messages are counted, and some would be taken twice.
                self.agents[agent].said = (say != Say::Custom).then(|| bytes.clone());
            }
            // A cut may outlast the faults: its connection may yet be taken for a stale one.
            let undisturbed = self.now > self.disturbed + SETTLES;
            if self.calm && undisturbed && say == Say::Custom {
                let custom = self.agents[agent].customs;
                self.agents[agent].calm_customs.push(custom);
            }
            self.tell(|| format!("agent {agent} says {say:?}"));
            self.front_hears((node, handle), said, &bytes);
            self.may_give_up(agent);
        }
    }

    /// An agent that polls waits for no answer longer than it likes.
    fn may_give_up(&mut self, agent: usize) {
        let it = &self.agents[agent];
        let Some((_, handle)) = it.at.filter(|_| it.polls && !self.calm && self.plan.moves) else {
            return;
        };
        if self.random.percent(30) {
            self.soon(1, 120, Event::GivesUp { agent, handle });
        }
    }

    pub(super) fn gives_up(&mut self, agent: usize, handle: Handle) {
        let it = &mut self.agents[agent];
        if let Some((node, _)) = it.at.take_if(|(_, at)| *at == handle) {
            it.says_again = it.said.is_some();
            if self.random.percent(10) {
                it.restart();
            }
            self.socket_closed(node, handle);
            self.soon(1, 60, Event::Connect(agent));
        }
    }

    /// A request had no answer: its message goes once more, over another connection.
    fn says_again(&mut self, agent: usize) {
        let Some((node, handle)) = self.agents[agent].at else { return };
        let Some(bytes) = self.agents[agent].said.clone() else { return };
        if let Some(front) = self.nodes[node].fronts.get_mut(&handle) {
            front.said += 1;
        }
        self.tell(|| format!("agent {agent} says the same again"));
        self.front_hears((node, handle), 1, &bytes);
        self.may_give_up(agent);
    }

    fn front_hears(&mut self, (node, handle): (usize, Handle), said: u64, bytes: &[u8]) {
        let at = self.now + REPLY_WITHIN;
        self.at(at, Event::CheckReplies { node, handle, said });
        self.with_front(node, handle, |front, moment, port| {
            let scan = AgentScan::parse(bytes).unwrap();
            front.agent_message(&scan, moment, port);
        });
    }

    pub(super) fn check_replies(&mut self, node: usize, handle: Handle, said: u64) {
        let Some(front) = self.nodes[node].fronts.get(&handle).filter(|front| front.open) else {
            return;
        };
        if front.replied < said {
            let replied = front.replied;
            self.oracle.violated(format!("{replied} replies to {said} messages in time"));
        }
        let held = front.attachment.held_bytes();
        if held > self.front_policy.held_bytes_max + (16 << 10) {
            self.oracle.violated(format!("a front holds {held} bytes"));
        }
    }
}
