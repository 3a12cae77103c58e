//! What the simulations share: the source of chance, what happens next, a number that stands for what has happened,
//! and the runner of seeds with its tests.

pub(crate) mod queue;
pub(crate) mod random;
pub(crate) mod runner;
pub(crate) mod trace;
