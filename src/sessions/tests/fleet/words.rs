//! What servers say on a former home's link reaches its agent, whatever becomes of the present home.

use super::*;

/// Where the agent's session is, and where its server has its link.
const HOME: usize = 0;
const LINK: usize = 2;

struct OneAgentWorld {
    fleet: NodesBench,
    agent: Roaming,
    front: usize,
}

impl OneAgentWorld {
    /// An agent of `HOME`, whose connection is at `front`.
    fn new(front: usize) -> Self {
        let fleet = NodesBench::new();
        let n = (1..=u8::MAX).find(|n| fleet.home(*n) == HOME).unwrap();
        let mut world = Self { fleet, agent: Roaming::new(n), front };
        world.agent.connects(&world.fleet, front);
        world.settle(2);
        world
    }

    fn settle(&mut self, seconds: u64) {
        for _ in 0..seconds * 4 {
            self.fleet.pump();
            self.agent.reads(&self.fleet, self.front);
            self.fleet.wait(0);
            // As the real clock stands: what waits is not made older.
            let now = clock::now();
            self.fleet.nodes.iter().for_each(|node| while node.sessions.sweep(now) {});
        }
    }

    /// The server says something on the link that it knows.
    fn says(&self, word: u8) {
        let custom = CustomMessage { data: vec![word], ..CustomMessage::default() };
        let message = ServerToAgent { custom_message: Some(custom), ..ServerToAgent::default() };
        assert_eq!(self.fleet.nodes[LINK].says(self.agent.n, &message), Delivered::Done);
    }

    /// One frame from one node to another arrives.
    fn one_frame(&self, from: usize, to: usize) {
        let mut frames = self.fleet.net.frames.lock();
        let at = frames.iter().position(|frame| (frame.0, frame.1) == (from, to)).unwrap();
        let (_, _, frame) = frames.remove(at).unwrap();
        drop(frames);
        self.fleet.fleet(to).from_node(incarnation(from), &frame).unwrap();
    }

    fn lose_home(&mut self) {
        (0..NODES).filter(|node| *node != HOME).for_each(|node| self.fleet.cut(HOME, node));
    }

    /// The home is dead for the others, and another node takes its shards.
    fn takes_over(&mut self, next: usize) {
        for shard in ShardId::all() {
            let home = self.fleet.net.homes.lock()[&shard];
            if place(home.node) == HOME {
                self.fleet.gives(shard, next, None);
            }
        }
        (1..NODES).for_each(|place| self.fleet.fleet(place).node_gone(incarnation(HOME)));
        self.fleet.map_changed();
    }
}

/// The home hangs: it takes nothing, though its link seems to be up. Then it counts as dead.
#[test]
fn what_a_home_that_dies_has_not_taken_goes_to_the_next() {
    for next in [1, LINK] {
        let mut world = OneAgentWorld::new(1);
        (1..=3).for_each(|word| world.says(word));
        world.lose_home();
        world.says(4);
        world.settle(1);
        assert_eq!(world.agent.words, [0; 0], "no home is in reach");
        world.takes_over(next);
        world.says(5);
        world.settle(3);
        assert_eq!(world.agent.words, [1, 2, 3, 4, 5], "next is {next}");
        world.settle(3);
        world.says(6);
        world.settle(1);
        assert_eq!(world.agent.words, [1, 2, 3, 4, 5, 6], "once");
    }
}

/// The home goes on where it was: what it had not taken comes again on the next link.
#[test]
fn what_is_lost_with_a_node_link_goes_on_the_next_one() {
    let mut world = OneAgentWorld::new(HOME);
    (1..=2).for_each(|word| world.says(word));
    world.fleet.cut(HOME, LINK);
    world.says(3);
    world.settle(1);
    world.fleet.heal();
    world.settle(1);
    assert_eq!(world.agent.words, [1, 2, 3]);
}

/// The home has taken a message, and its answer is lost: the message comes again, and the home knows it.
#[test]
fn what_a_home_has_taken_it_does_not_take_again() {
    let mut world = OneAgentWorld::new(HOME);
    (1..=2).for_each(|word| world.says(word));
    world.one_frame(LINK, HOME);
    world.fleet.cut(HOME, LINK);
    world.fleet.heal();
    world.settle(2);
    assert_eq!(world.agent.words, [1, 2]);
}

/// The shard goes on to another home while the message is on its way: the node that it was sent to passes it further,
/// and its sender hears in the end that it is taken.
#[test]
fn what_is_on_its_way_follows_the_shard() {
    let mut world = OneAgentWorld::new(1);
    world.says(1);
    let shard = shard_of(uid(world.agent.n));
    let frame = world.fleet.net.frames.lock().pop_back().unwrap();
    world.fleet.hand_over(shard, 1, true);
    world.says(2);
    world.fleet.net.frames.lock().push_back(frame);
    world.settle(2);
    assert_eq!(world.agent.words, [1, 2], "in their order");
    world.fleet.cut(1, LINK);
    world.fleet.cut(HOME, LINK);
    world.fleet.heal();
    world.settle(2);
    assert_eq!(world.agent.words, [1, 2], "once");
}

/// A home that hung reads what waited for it once it goes on, when it has lost the shard. Its sender has given it to the
/// next home by then. The shard comes back.
#[test]
fn what_a_node_holds_for_another_is_forgotten_with_the_link_between_them() {
    let mut world = OneAgentWorld::new(1);
    world.says(1);
    let frame = world.fleet.net.frames.lock().pop_back().unwrap();
    world.lose_home();
    world.takes_over(LINK);
    world.settle(3);
    assert_eq!(world.agent.words, [1]);
    let shard = shard_of(uid(world.agent.n));
    let home = world.fleet.fleet(HOME);
    home.release(shard);
    home.from_node(incarnation(frame.0), &frame.2).unwrap();
    home.node_lost(incarnation(LINK));
    world.fleet.heal();
    world.fleet.hand_over(shard, HOME, true);
    world.settle(3);
    assert_eq!((world.fleet.home(world.agent.n), &world.agent.words[..]), (HOME, &[1][..]));
}
