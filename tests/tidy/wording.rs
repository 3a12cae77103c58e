//! Words that comments do without, because a reader stumbles over them.
//!
//! Who does something has a name: the agent, the server, the connection. A limit is "at most N" or "for
//! N at most", a share is a percentage, and an order says "must".

use crate::source::{Source, words};

/// Words and phrases, each with what to write instead.
const INSTEAD: [(&str, &str); 11] = [
    ("whoever", "name who it is: the agent, the server, the connection"),
    ("somebody", "name who it is: the agent, the server, the connection"),
    ("nobody", "\"no agent\", or say who does it"),
    ("anybody", "name who it is: the agent, the server, the connection"),
    ("everybody", "\"every agent\", \"all servers\""),
    ("those who", "\"agents that\""),
    ("those whose", "\"agents whose\""),
    ("so many", "\"at most N\", \"this many\""),
    ("is to be", "\"must\""),
    ("how-manieth", "\"number N\", \"generation\""),
    ("for want of", "\"because it lacks\""),
];

/// Each of them in a comment that has its line to itself, also across the end of a line.
pub(crate) fn check(source: &Source) -> Vec<(usize, String)> {
    // All comments as one text, and where each of its lines begins in there and in the file.
    let (mut text, mut begins) = (String::new(), Vec::new());
    for (offset, comment) in source.comments() {
        begins.push((text.len(), offset));
        text.push_str(&comment.to_ascii_lowercase());
        text.push(' ');
    }
    let mut found = Vec::new();
    for (phrase, instead) in INSTEAD {
        for at in words(&text, phrase) {
            let line = begins.partition_point(|(begin, _)| *begin <= at) - 1;
            found.push((begins[line].1, format!("`{phrase}` in a comment: write {instead}")));
        }
    }
    found
}
