//! Mistakes in the configuration: what is wrong, at which key, and where it was written. Must not know the
//! keys.

use std::fmt;

/// Where a value was written. Ordered as an operator reads: down the file, then the rest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueOrigin {
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
    /// In several places, or the value is missing.
    None,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The key's path, such as `upstream.servers[0].url`; empty if the file itself is wrong.
    pub key: String,
    /// Where the value was written.
    pub origin: ValueOrigin,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            ValueOrigin::Line(line) => write!(f, "line {line}: ")?,
            ValueOrigin::Variable(name) => write!(f, "variable {name}: ")?,
            ValueOrigin::None => {}
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Every mistake, one a line. The operator's fault; retrying does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Mistake>);
