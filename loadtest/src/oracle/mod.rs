//! The oracle: is what the server believes about each agent true, and did one node at a time say so?

pub(crate) mod digest;
pub(crate) mod fields;
pub(crate) mod judge;
pub(crate) mod speakers;
