//! Reads one section key by key, collecting every mistake.
//!
//! A key is known because a section reads it, and what remains when all sections were read is unknown. So
//! the code is the only list of keys, and every mistake is reported at once, where a derived deserialiser
//! (`deny_unknown_fields`) stops at the first. Must not know what a key means.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::environment;
use super::mistake::{Mistake, ValueOrigin};
use super::suggest;
use super::tree::{RawNode, RawTable, RawValue};
use super::units;

/// What reading has found so far, shared by all sections.
#[derive(Default)]
pub(super) struct Findings {
    pub(super) mistakes: RefCell<Vec<Mistake>>,
    /// Every key that a section read; `[]` stands for any place in a list.
    pub(super) known: RefCell<BTreeSet<String>>,
    unknown: RefCell<Vec<(String, ValueOrigin)>>,
    /// The text is not TOML throughout: what seems to be absent may be there.
    pub(super) is_torn: Cell<bool>,
}

impl Findings {
    pub(super) fn report(&self, key: String, origin: ValueOrigin, message: impl Into<String>) {
        self.mistakes.borrow_mut().push(Mistake { key, origin, message: message.into() });
    }

    /// Whether these keys, and all below them, were read as they were meant. What follows from a value that could not be
    /// read is no mistake of its own: the default stands in its place.
    pub(super) fn are_sound(&self, keys: &[&str]) -> bool {
        let mistakes = self.mistakes.borrow();
        let is_of = |mistaken: &str, key: &str| {
            let below = mistaken.strip_prefix(key);
            !key.is_empty()
                && below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        !mistakes.iter().any(|mistake| keys.iter().any(|key| is_of(&mistake.key, key)))
    }

    /// Reports the keys that were left over. Call it when every section was read: only then all keys are
    /// known.
    pub(super) fn report_unknown(&self) {
        let known = self.known.borrow();
        // Behind a table's head that is no TOML, keys stand at the top which belong to that table.
        let strays = |key: &str| self.is_torn.get() && !key.contains(['.', '[']);
        let unknown = self.unknown.take();
        for (key, origin) in unknown.into_iter().filter(|(key, _)| !strays(key)) {
            let path = without_places(&key);
            let message = match (suggest::successor(&path), &origin) {
                (Some(new), ValueOrigin::Variable(_)) => {
                    format!("renamed; say {}", environment::variable(new))
                }
                (Some(new), _) => format!("renamed; say {new}"),
                (None, _) => suggest::removed(&path)
                    .map_or_else(|| suggest::unknown(&path, &known), str::to_owned),
            };
            self.report(key, origin, message);
        }
    }
}

/// `servers[3].url` as `servers[].url`.
fn without_places(path: &str) -> String {
    match path.split_once('[') {
        Some((list, rest)) => {
            format!("{list}[{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => path.to_owned(),
    }
}

/// One table of the configuration. Dropping it reports the keys that were left over.
pub(super) struct Section<'a> {
    path: String,
    origin: ValueOrigin,
    entries: RawTable,
    findings: &'a Findings,
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        let unknown = entries.into_iter().map(|(key, node)| (self.key(&key), node.origin));
        self.findings.unknown.borrow_mut().extend(unknown);
    }
}

impl<'a> Section<'a> {
    /// The whole configuration.
    pub(super) fn root(entries: RawTable, findings: &'a Findings) -> Self {
        Self { path: String::new(), origin: ValueOrigin::None, entries, findings }
    }

    /// The path of a key of this section.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Reports a mistake at a key of this section.
    pub(super) fn report(&self, name: &str, message: impl Into<String>) {
        self.findings.report(self.key(name), self.origin.clone(), message);
    }

    /// Whether these keys of this section, and all below them, were read as they were meant.
    pub(super) fn are_sound(&self, names: &[&str]) -> bool {
        let keys: Vec<String> = names.iter().map(|name| self.key(name)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.findings.are_sound(&keys)
    }

    /// Reports that a key is missing, unless it was written and could not be read.
    pub(super) fn report_missing(&self, name: &str, message: impl Into<String>) {
        let mistakes = self.findings.mistakes.borrow();
        let is_no_table =
            mistakes.iter().any(|mistake| mistake.key == self.path && !self.path.is_empty());
        drop(mistakes);
        if !self.findings.is_torn.get() && !is_no_table && self.are_sound(&[name]) {
            self.report(name, message);
        }
    }

    fn learn(&self, name: &str) {
        self.findings.known.borrow_mut().insert(without_places(&self.key(name)));
    }

    fn take(&mut self, name: &str) -> Option<RawNode> {
        self.learn(name);
        self.entries.remove(name)
    }

    /// Learns the keys of a list's tables when the list is empty, by reading an empty table.
    pub(super) fn learn_entry(&self, name: &str, read: impl FnOnce(&mut Section<'_>)) {
        let aside = Findings::default();
        let path = format!("{}[]", self.key(name));
        let origin = ValueOrigin::None;
        read(&mut Section { path, origin, entries: RawTable::new(), findings: &aside });
        self.findings.known.borrow_mut().append(&mut aside.known.borrow_mut());
    }

    /// Whether the operator wrote a key of this section, rightly or wrongly.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// A table within this one; empty if it is absent.
    pub(super) fn section(&mut self, name: &str) -> Self {
        let path = self.key(name);
        let (entries, origin) = match self.entries.remove(name) {
            None => (RawTable::new(), ValueOrigin::None),
            Some(RawNode { value: RawValue::Table(entries), origin }) => (entries, origin),
            Some(RawNode { value, origin }) => {
                let message = format!("must be a table, not {}", value.kind());
                self.findings.report(path.clone(), origin.clone(), message);
                (RawTable::new(), origin)
            }
        };
        Self { path, origin, entries, findings: self.findings }
    }

    /// The tables of a list of tables.
    pub(super) fn sections(&mut self, name: &str) -> Vec<Self> {
        let path = self.key(name);
        let items = match self.entries.remove(name) {
            None => Vec::new(),
            Some(RawNode { value: RawValue::List(items), .. }) => items,
            Some(RawNode { value, origin }) => {
                let message =
                    format!("must be a list of tables ([[{path}]]), not {}", value.kind());
                self.findings.report(path.clone(), origin, message);
                Vec::new()
            }
        };
        let mut sections = Vec::with_capacity(items.len());
        for (place, RawNode { value, origin }) in items.into_iter().enumerate() {
            let path = format!("{path}[{place}]");
            if let RawValue::Table(entries) = value {
                sections.push(Self { path, origin, entries, findings: self.findings });
            } else {
                self.findings.report(
                    path,
                    origin,
                    format!("must be a table, not {}", value.kind()),
                );
            }
        }
        sections
    }

    /// The entries of a table whose keys are the operator's own, such as header names.
    pub(super) fn pairs(&mut self, name: &str) -> Vec<(String, String)> {
        self.learn(name);
        let mut inner = self.section(name);
        let mut pairs = Vec::new();
        for (key, node) in std::mem::take(&mut inner.entries) {
            match node.value {
                RawValue::Text(text) => pairs.push((key, text)),
                other => {
                    let message = format!("must be text, not {}", other.kind());
                    self.findings.report(inner.key(&key), node.origin, message);
                }
            }
        }
        pairs
    }

    /// A value of any type, by a function that says what is wrong with it.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&RawValue) -> Result<T, String>,
    ) -> Option<T> {
        let node = self.take(name)?;
        match parse(&node.value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.findings.report(self.key(name), node.origin, message);
                None
            }
        }
    }

    /// Text, by a function that says what is wrong with it.
    pub(super) fn text<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.parsed(name, |value| match value {
            RawValue::Text(text) => parse(text),
            other => Err(format!("must be text, not {}", other.kind())),
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        self.text(name, |text| {
            let chosen = choices.iter().find(|(word, _)| *word == text);
            let words = || choices.iter().map(|(word, _)| format!("\"{word}\""));
            chosen.map(|(_, value)| *value).ok_or_else(|| {
                format!("must be one of {}, not \"{text}\"", words().collect::<Vec<_>>().join(", "))
            })
        })
    }

    /// A list of texts, or one text with commas, as in an environment variable.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        self.parsed(name, |value| match value {
            RawValue::Text(text) => text.split(',').map(|part| parse(part.trim())).collect(),
            RawValue::List(items) => {
                let item = |item: &RawNode| match &item.value {
                    RawValue::Text(text) => parse(text),
                    other => Err(format!("must hold texts, not {}", other.kind())),
                };
                items.iter().map(item).collect()
            }
            other => Err(format!("must be a list, not {}", other.kind())),
        })
    }

    /// A whole number within bounds.
    pub(super) fn number<T>(&mut self, name: &str, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        self.parsed(name, |value| {
            let number = match value {
                RawValue::Integer(number) => *number,
                // An environment variable is always text.
                RawValue::Text(text) => {
                    text.trim().parse().map_err(|_| format!("\"{text}\" is not a whole number"))?
                }
                other => return Err(format!("must be a whole number, not {}", other.kind())),
            };
            let fits = T::try_from(number).ok().filter(|number| bounds.contains(number));
            fits.ok_or_else(|| {
                format!("must be {} to {}, not {number}", bounds.start(), bounds.end())
            })
        })
    }

    /// A length of time within bounds.
    pub(super) fn duration(
        &mut self,
        name: &str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.parsed(name, |value| {
            let duration = match value {
                RawValue::Text(text) => units::duration(text)?,
                RawValue::Integer(number) => {
                    return Err(format!("needs a unit, such as \"{number}s\" or \"{number}ms\""));
                }
                other => return Err(format!("must be a length of time, not {}", other.kind())),
            };
            let show = units::show_duration;
            let (least, most) = (*bounds.start(), *bounds.end());
            if bounds.contains(&duration) {
                return Ok(duration);
            }
            Err(format!("must be {} to {}, not {}", show(least), show(most), show(duration)))
        })
    }

    /// A size in bytes within bounds.
    pub(super) fn bytes(&mut self, name: &str, bounds: RangeInclusive<usize>) -> Option<usize> {
        self.parsed(name, |value| {
            let size = match value {
                RawValue::Text(text) => units::bytes(text)?,
                RawValue::Integer(number) => {
                    u64::try_from(*number).map_err(|_| "must not be negative".to_owned())?
                }
                other => return Err(format!("must be a size, not {}", other.kind())),
            };
            let fits = usize::try_from(size).ok().filter(|size| bounds.contains(size));
            fits.ok_or_else(|| {
                let show = |size: &usize| units::show_bytes(*size as u64);
                let (least, most) = (show(bounds.start()), show(bounds.end()));
                format!("must be {least} to {most}, not {}", units::show_bytes(size))
            })
        })
    }
}
