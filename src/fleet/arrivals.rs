//! What comes on node links.

use super::control::{self, Control};
use super::links::control_on;
use super::shared::Fleet;
use crate::cluster::{LinkLoss, NodeLink, NodeLinkEvents};
use crate::core::node_link::{FORMAT, Hello, NodeMessageKind};
use crate::core::ownership::NodeEvent;
use crate::telemetry::events::cluster::NodeMessageReceived;
use crate::telemetry::events::fleet as events;

/// A peer's frames hold up what follows from it: the data plane takes them at once. What is said about leases and
/// homes goes to the fleet's task.
impl NodeLinkEvents for Fleet {
    fn reached(&self, link: &NodeLink) {
        let hello = Hello {
            format: FORMAT,
            incarnation: self.incarnation(),
            name: self.params.name.clone(),
        };
        control_on(link, |out| control::put_hello(&hello, out));
        self.links.add(link);
        if let Some(plane) = &self.plane {
            plane.node_reached(link.peer());
            plane.homes_changed();
        }
    }

    fn frame(&self, link: &NodeLink, frame: &[u8]) {
        NodeMessageReceived { kind: NodeMessageKind::of(frame), bytes: frame.len() }.emit();
        let Some(plane) = &self.plane else { return };
        match plane.take_frame(link.peer(), frame) {
            Ok(None) => {}
            Ok(Some((shard, attempt))) => self.tell(NodeEvent::Received(shard, attempt)),
            Err(error) => {
                let peer = link.peer_name().as_str();
                events::NodeMessageMalformed { peer, error: &error }.emit();
            }
        }
    }

    fn control(&self, link: &NodeLink, message: &[u8]) {
        NodeMessageReceived { kind: NodeMessageKind::Control, bytes: message.len() }.emit();
        match control::read(message) {
            Ok(Control::Peer(said)) => self.tell(NodeEvent::PeerSaid(link.peer(), said)),
            Ok(Control::Inquiry(number, inquiry)) => self.answer(link, number, inquiry),
            Ok(Control::Answer(number, answer)) => {
                self.inquiries.answered(link.peer(), number, answer);
            }
            Ok(Control::Hello(hello)) => {
                if let Some(plane) = &self.plane {
                    plane.node_speaks(link.peer(), hello.format.min(FORMAT));
                }
            }
            Ok(Control::Other) => {}
            Err(error) => {
                let peer = link.peer_name().as_str();
                events::NodeMessageMalformed { peer, error: &error }.emit();
            }
        }
    }

    fn lost(&self, link: &NodeLink, _: &LinkLoss) {
        self.links.remove(link);
        self.inquiries.lost(link.peer());
        if let Some(plane) = &self.plane {
            plane.node_lost(link.peer());
            plane.homes_changed();
        }
    }
}
