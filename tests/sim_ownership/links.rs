//! Node links between the places where nodes run: in order, unless they break; each direction has troubles of its
//! own.

use std::time::Duration;

use crate::simulation::random::Random;
use crate::world::Time;

/// One direction between two places.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) cut: bool,
    /// Milliseconds that a message takes at most.
    pub(crate) slow: u64,
    /// In percent.
    pub(crate) loses: u64,
    /// Grows when the link breaks: what is under way is lost.
    pub(crate) generation: u32,
    last_arrival: Time,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Links {
    all: Vec<Vec<Link>>,
}

impl Links {
    pub(crate) fn new(places: usize) -> Self {
        let fine = Link { cut: false, slow: 20, loses: 0, generation: 0, last_arrival: Time::ZERO };
        Self { all: vec![vec![fine; places]; places] }
    }

    pub(crate) fn of(&mut self, from: usize, to: usize) -> &mut Link {
        &mut self.all[from][to]
    }

    /// When a message that is sent now arrives; `None` if it is lost.
    pub(crate) fn send(
        &mut self,
        (from, to): (usize, usize),
        now: Time,
        random: &mut Random,
    ) -> Option<Time> {
        let at = self.send_apart((from, to), now, random)?;
        let link = &mut self.all[from][to];
        link.last_arrival = link.last_arrival.max(at);
        Some(link.last_arrival + Duration::from_micros(1))
    }

    /// The same of a message that need not come after those before it.
    pub(crate) fn send_apart(
        &self,
        (from, to): (usize, usize),
        now: Time,
        random: &mut Random,
    ) -> Option<Time> {
        let link = &self.all[from][to];
        if link.cut || random.percent(link.loses) {
            return None;
        }
        Some(now + random.ms(1, link.slow + 2))
    }

    /// Mends one direction.
    pub(crate) fn heal(&mut self, from: usize, to: usize) {
        let link = &mut self.all[from][to];
        (link.cut, link.slow, link.loses) = (false, 20, 0);
    }

    /// Whether no direction has a trouble.
    pub(crate) fn are_fine(&self) -> bool {
        self.all.iter().flatten().all(|link| !link.cut && link.slow <= 20 && link.loses == 0)
    }
}
