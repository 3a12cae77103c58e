//! What an operator has written, key by key, so that a later text can be compared with it. Values stay here: some are
//! secrets.

use std::collections::BTreeMap;

use super::tree::{RawNode, RawTable, RawValue};
use super::{environment, tree};

/// Every key that is written, in the file or in the environment, with its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WrittenKeys(BTreeMap<String, String>);

impl WrittenKeys {
    /// Of a file's text with the variables laid over it. What cannot be read is left out.
    pub fn of(text: &str, variables: &[(String, String)]) -> Self {
        let mut mistakes = Vec::new();
        let mut table = tree::parse(text, &mut mistakes);
        environment::overlay(variables, &mut table, &mut mistakes);
        let mut keys = BTreeMap::new();
        flatten(String::new(), table, &mut keys);
        Self(keys)
    }

    /// The same, with these keys as `other` has them.
    #[must_use]
    pub fn with(&self, other: &Self, keys: &[&str]) -> Self {
        let mut written = self.0.clone();
        for key in keys {
            match other.0.get(*key) {
                Some(value) => _ = written.insert((*key).to_owned(), value.clone()),
                None => _ = written.remove(*key),
            }
        }
        Self(written)
    }

    /// The keys whose values differ, or that only one of both has.
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let all = self.0.keys().chain(other.0.keys().filter(|key| !self.0.contains_key(*key)));
        let mut keys: Vec<String> =
            all.filter(|key| self.0.get(*key) != other.0.get(*key)).cloned().collect();
        keys.sort();
        keys
    }
}

fn flatten(path: String, table: RawTable, keys: &mut BTreeMap<String, String>) {
    for (key, node) in table {
        let path = if path.is_empty() { key } else { format!("{path}.{key}") };
        flatten_value(path, node, keys);
    }
}

fn flatten_value(path: String, node: RawNode, keys: &mut BTreeMap<String, String>) {
    match node.value {
        RawValue::Table(table) => flatten(path, table, keys),
        RawValue::List(items) => {
            for (place, item) in items.into_iter().enumerate() {
                flatten_value(format!("{path}[{place}]"), item, keys);
            }
        }
        RawValue::Text(text) => _ = keys.insert(path, text),
        // An environment variable is always text: both ways of writing a number are the same.
        RawValue::Integer(number) => _ = keys.insert(path, number.to_string()),
        RawValue::Other(kind) => _ = keys.insert(path, kind.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_are_named_wherever_they_are_written() {
        let server = "[[upstream.servers]]\nurl = \"ws://a\"\n";
        let before = WrittenKeys::of(&format!("[admission]\nrate = 5\n{server}"), &[]);
        assert_eq!(before.differing(&before.clone()), [""; 0]);
        let variables = [("SEAWALL_LOG__LEVEL".to_owned(), "debug".to_owned())];
        let after = WrittenKeys::of(&format!("[edge]\npaths = [\"/a\"]\n{server}"), &variables);
        let keys = ["admission.rate", "edge.paths[0]", "log.level"];
        assert_eq!(
            (before.differing(&after), after.differing(&before)),
            (keys.map(str::to_owned).to_vec(), keys.map(str::to_owned).to_vec())
        );
    }
}
