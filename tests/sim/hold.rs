//! A node that loses the right to speak to servers, and has it back later: what waits on its links is dropped, they
//! end, and nothing goes out in between. As `upstream::hold` and the tasks of links do it.

use std::sync::Arc;

use seawall::core::http_mode::{Answered, ChannelEvent};
use seawall::core::server::ServerEvent;

use crate::oracle::Cause;
use crate::wires::{Key, Link, State, node_of_key};
use crate::world::{Event, NodeKey, Time, World};

impl World {
    /// A node finds out that it must hold still, for long or for a moment.
    pub(crate) fn hold_still(&mut self) {
        let nodes = self.live_nodes();
        if nodes.is_empty() {
            return;
        }
        let node = self.random.pick(&nodes);
        if self.is_still(node) {
            return;
        }
        let longest = self.random.pick(&[100, 5_000, 90_000]);
        let lasts = self.random.ms(1, longest);
        self.say(|| format!("node {node} holds still for {lasts:?}"));
        for server in 0..self.servers.len() {
            self.server_event(node, server, ServerEvent::HoldStill);
            self.unwell(server, self.now + lasts);
        }
        self.still.insert(node);
        self.drop_waiting(node);
        self.after(lasts, Event::MaySpeak(node));
    }

    /// The node may speak again.
    pub(crate) fn may_speak(&mut self, node: NodeKey) {
        if !self.still.remove(&node) || !self.nodes.contains_key(&node) {
            return;
        }
        self.say(|| format!("node {node} may speak"));
        for server in 0..self.servers.len() {
            self.unwell(server, self.now);
            self.server_event(node, server, ServerEvent::MaySpeak);
            for key in self.channels_of(node, server) {
                self.after(Time::ZERO, Event::ChannelWakes(key));
            }
            if self.plan.http {
                self.after(Time::ZERO, Event::ProbeDue(node, server, 0));
            }
        }
        let Some(gateway) = self.nodes.get(&node) else { return };
        Arc::clone(&gateway.sessions).enqueue_all(&|_| true);
        self.settle(Cause::Permit);
    }

    /// Whether a node has been told to hold still.
    pub(crate) fn is_still(&self, node: NodeKey) -> bool {
        self.still.contains(&node)
    }

    /// Every connection of the node's to a server ends, and what waits for one is dropped.
    fn drop_waiting(&mut self, node: NodeKey) {
        let Some(gateway) = self.nodes.get(&node) else { return };
        let wires = Arc::clone(&gateway.wires);
        let channels: Vec<Key> = gateway.channels.keys().copied().collect();
        for key in channels {
            self.silence_channel(key);
        }
        let open = self.lines.iter().filter(|(_, line)| line.gateway_end).map(|(key, _)| *key);
        for line in open.filter(|key| node_of_key(key.0) == node).collect::<Vec<_>>() {
            self.cut_line(line, false);
        }
        let mut lost = Vec::new();
        for link in wires.ends.lock().links.values_mut() {
            let own = link.owner.is_some() && link.state != State::Closing;
            if own && !link.queue.is_empty() {
                lost.push((usize::from(link.id.server.0), Link::take_all(link)));
                link.incarnation += 1;
            }
        }
        for (server, lost) in lost {
            self.note_lost((node, server), &lost);
        }
        self.settle(Cause::Permit);
    }

    /// What a channel has under way is given up; the server may have it all the same.
    fn silence_channel(&mut self, key: Key) {
        if let Some((report, answered)) = self.unheard(key) {
            let server = self.server_of(key);
            let under_way = answered == Answered::Timeout;
            if under_way && self.servers[server].up && self.random.percent(50) {
                let _ = self.server_hears((key, self.incarnation_of(key)), server, &report);
            } else {
                self.oracle.lost_on_link(node_of_key(key), server, &report);
            }
        }
        self.drive(key, ChannelEvent::Silenced);
    }
}
