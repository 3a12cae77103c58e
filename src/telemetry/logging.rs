//! Sets logging up: text for a person at a terminal, JSON for a machine otherwise.
//!
//! A thread of its own writes the lines. A disk that is full, or a reader that has gone or reads no more, costs lines,
//! which are counted, and nothing else.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::events::log::Panicked;
use super::log_lines::{LogLines, LogThread};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text if standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// What logging needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogParams {
    /// How lines look.
    pub format: LogFormat,
    /// What is logged: a level, or directives as in `RUST_LOG` (`info,seawall::edge=debug`).
    pub level: String,
}

impl Default for LogParams {
    fn default() -> Self {
        Self { format: LogFormat::Auto, level: "info".to_owned() }
    }
}

impl LogParams {
    /// Says what is wrong with `level`, so that configuration can report it with everything else.
    ///
    /// # Errors
    /// The filter's own words, or a directive that the filter takes for the name of a part.
    pub fn check(&self) -> Result<(), String> {
        EnvFilter::try_new(&self.level).map_err(|error| error.to_string())?;
        // The filter takes a mistyped level for a part whose every line is wanted, and an empty one for `error`.
        let is_level = |word: &str| !word.is_empty() && word.parse::<LevelFilter>().is_ok();
        let names_part = |word: &str| word.contains(['=', ':', '[']);
        let mut words = self.level.split(',').map(str::trim);
        match words.find(|word| !is_level(word) && !names_part(word)) {
            None => Ok(()),
            Some(word) => Err(format!(
                "\"{word}\" is no level: error, warn, info, debug, trace or off; a part's is written \
                 seawall::edge=debug"
            )),
        }
    }
}

/// Logging that was started. When it is dropped, lines that wait are written, for at most a second.
pub struct Logging {
    set: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>,
    _thread: LogThread,
}

impl Logging {
    /// Has something else logged from now on.
    ///
    /// # Errors
    /// If `level` is malformed.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        (self.set)(EnvFilter::try_new(level).map_err(|error| error.to_string())?)
    }
}

/// Starts logging to standard error, for the whole process. Standard output is for answers. A panic is logged, too.
///
/// # Errors
/// If `level` is malformed, logging was already set up, or the system refuses a thread.
pub fn start(params: &LogParams) -> Result<Logging, String> {
    let filter = EnvFilter::try_new(&params.level).map_err(|error| error.to_string())?;
    let terminal = std::io::stderr().is_terminal();
    let (lines, thread) = LogLines::to(io::stderr()).map_err(|error| error.to_string())?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || lines.clone())
        .log_internal_errors(false);
    let set: Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;
    let outcome = match (params.format, terminal) {
        (LogFormat::Json, _) | (LogFormat::Auto, false) => {
            let builder = builder.json().flatten_event(true).with_current_span(false);
            let builder = builder.with_filter_reloading();
            let handle = builder.reload_handle();
            set = Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()));
            builder.try_init()
        }
        (LogFormat::Text, _) | (LogFormat::Auto, true) => {
            let builder = builder.with_ansi(terminal).with_filter_reloading();
            let handle = builder.reload_handle();
            set = Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()));
            builder.try_init()
        }
    };
    outcome.map_err(|error| error.to_string())?;
    std::panic::set_hook(Box::new(|panic| Panicked { panic }.emit()));
    Ok(Logging { set, _thread: thread })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_checked_before_it_is_used() {
        assert_eq!(LogParams::default().check(), Ok(()));
        let level = "info,seawall::edge=debug".to_owned();
        assert_eq!(LogParams { level, ..Default::default() }.check(), Ok(()));
        for wrong in ["seawall=loud", "inof", "info,debgu", "warning", "", " ", "info,"] {
            let level = wrong.to_owned();
            assert!(LogParams { level, ..Default::default() }.check().is_err(), "{wrong}");
        }
    }
}
