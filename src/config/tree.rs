//! The configuration as it was written: values with their origins, from the file and, laid over it, the
//! environment. Knows TOML, and leaves the keys to the sections.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, ValueOrigin};

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct RawNode {
    pub(super) value: RawValue,
    pub(super) origin: ValueOrigin,
}

/// A table's entries by key.
pub(super) type RawTable = BTreeMap<String, RawNode>;

#[derive(Debug, Clone)]
pub(super) enum RawValue {
    Text(String),
    Integer(i64),
    List(Vec<RawNode>),
    Table(RawTable),
    /// A type that no key takes; its name in TOML.
    Other(&'static str),
}

impl RawValue {
    /// What to call it when something else was wanted.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads a file's text. A mistake in one line leaves the others readable.
pub(super) fn parse(text: &str, mistakes: &mut Vec<Mistake>) -> RawTable {
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    mistakes.extend(errors.iter().map(|error| Mistake {
        key: String::new(),
        origin: error.span().map_or(ValueOrigin::None, |span| lines.at(span.start)),
        message: format!("not TOML: {}", error.message().replace('\n', ", ")),
    }));
    lines.table(table.get_ref())
}

/// Offsets at which lines start.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(std::iter::once(0).chain(ends.map(|(offset, _)| offset + 1)).collect())
    }

    fn at(&self, offset: usize) -> ValueOrigin {
        ValueOrigin::Line(self.0.partition_point(|start| *start <= offset))
    }

    fn table(&self, table: &DeTable<'_>) -> RawTable {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let key: &Spanned<std::borrow::Cow<'_, str>> = key;
            let node =
                RawNode { value: self.value(value.get_ref()), origin: self.at(key.span().start) };
            (key.get_ref().to_string(), node)
        };
        table.iter().map(entry).collect()
    }

    fn value(&self, value: &DeValue<'_>) -> RawValue {
        match value {
            DeValue::String(text) => RawValue::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(RawValue::Other("a number too large"), RawValue::Integer),
            DeValue::Array(items) => {
                let node = |item: &Spanned<DeValue<'_>>| RawNode {
                    value: self.value(item.get_ref()),
                    origin: self.at(item.span().start),
                };
                RawValue::List(items.iter().map(node).collect())
            }
            DeValue::Table(table) => RawValue::Table(self.table(table)),
            DeValue::Float(_) => RawValue::Other("a number with a fraction"),
            DeValue::Boolean(_) => RawValue::Other("true or false"),
            DeValue::Datetime(_) => RawValue::Other("a date"),
        }
    }
}
