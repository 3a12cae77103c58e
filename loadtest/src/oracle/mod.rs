//! The oracle: is what the server believes about each agent true?

pub(crate) mod digest;
pub(crate) mod fields;
pub(crate) mod judge;
