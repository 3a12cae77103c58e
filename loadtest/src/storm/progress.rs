//! One line on a terminal that says how far things are. Where standard error is a file, it stays
//! empty.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use seawall::clock;

/// The line.
#[derive(Debug)]
pub(crate) struct Progress {
    is_terminal: bool,
    shown: Option<Instant>,
}

/// How often it changes.
const PAUSE: Duration = Duration::from_millis(250);

impl Progress {
    /// On standard error, if that is a terminal.
    pub(crate) fn new() -> Self {
        Self { is_terminal: std::io::stderr().is_terminal(), shown: None }
    }

    /// Shows the state of things, unless it has been shown just now.
    pub(crate) fn show(&mut self, what: &str, done: u64, total: u64, refusals: u64) {
        let now = clock::now();
        if self.is_terminal && self.shown.is_none_or(|shown| now - shown >= PAUSE) {
            self.shown = Some(now);
            eprint!("\r\x1b[K{done} of {total} agents {what}, {refusals} refusals so far");
            let _ = std::io::stderr().flush();
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&mut self) {
        if self.shown.take().is_some() {
            eprint!("\r\x1b[K");
        }
    }
}
