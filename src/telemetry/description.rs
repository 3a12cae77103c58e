//! What the exposition says about one metric: its name and its meaning.

/// The name and the meaning of one metric, as `names` lists them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Description {
    /// The name in the exposition.
    pub(super) name: &'static str,
    /// What the metric means, in one sentence.
    pub(super) help: &'static str,
}

/// A label's key and one of its values.
pub(super) type Pair = (&'static str, &'static str);
