//! In which order the messages of a channel go: as they came, and one that is still to be delivered before all
//! others. An agent's numbers rise by one (R3), so a server that got two of its messages the other way round
//! would see a loss.

use std::collections::VecDeque;

use crate::mutation::{Breach, is_on};

/// Messages that wait at a channel. The caller bounds it.
#[derive(Debug)]
pub struct PostOrder<T> {
    waiting: VecDeque<T>,
}

impl<T> Default for PostOrder<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new() }
    }
}

impl<T> PostOrder<T> {
    /// Adds a message behind all others.
    pub fn push(&mut self, message: T) {
        self.waiting.push_back(message);
    }

    /// Takes out the message that goes next.
    pub fn take(&mut self) -> Option<T> {
        if is_on(Breach::HttpReordersPosts) && self.waiting.len() > 1 {
            return self.waiting.remove(1);
        }
        self.waiting.pop_front()
    }

    /// Takes out the first message that `may_go` says true of.
    pub fn take_if(&mut self, may_go: impl Fn(&T) -> bool) -> Option<T> {
        let place = self.waiting.iter().position(may_go)?;
        if place == 0 { self.take() } else { self.waiting.remove(place) }
    }

    /// A message that was taken out is still to be delivered: it goes next.
    pub fn put_back(&mut self, message: T) {
        self.waiting.push_front(message);
    }

    /// Drops the messages that `stays` says false of.
    pub fn retain(&mut self, stays: impl FnMut(&T) -> bool) {
        self.waiting.retain(stays);
    }

    /// The messages, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.waiting.iter()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_go_as_they_came_and_one_that_comes_back_goes_first() {
        let mut order = PostOrder::default();
        (1..=4).for_each(|message| order.push(message));
        assert_eq!((order.take(), order.take()), (Some(1), Some(2)));
        order.put_back(2);
        order.push(5);
        order.retain(|message| *message != 4);
        assert_eq!((order.len(), order.is_empty()), (3, false));
        assert_eq!(std::iter::from_fn(|| order.take()).collect::<Vec<_>>(), [2, 3, 5]);
    }
}
