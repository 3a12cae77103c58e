//! One source file, with comments and texts blanked out so that rules see code alone.

/// A file and its code. Offsets are the same in `text` and `code`.
pub(crate) struct Source {
    /// Relative to the repository, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with the contents of comments, strings and characters replaced by spaces.
    pub(crate) code: String,
    /// Whether all of it is test code.
    pub(crate) is_test: bool,
}

/// A function with a body.
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    /// Where its name stands.
    pub(crate) offset: usize,
    /// Lines of code between its braces.
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let inside =
            ["src/", "loadtest/src/", "proof/src/"].iter().any(|folder| path.starts_with(folder));
        let is_test = !inside && path != "build.rs";
        Self { path: path.to_owned(), text: text.to_owned(), code: blank(text), is_test }
    }

    /// The line of an offset, from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.text[..offset].matches('\n').count() + 1
    }

    /// Comments that have their line to themselves, with where the line begins.
    pub(crate) fn comments(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut begin = 0;
        self.text.split('\n').filter_map(move |line| {
            let offset = begin;
            begin += line.len() + 1;
            let comment = line.trim().strip_prefix("//")?;
            Some((offset, comment.trim_start_matches(['/', '!']).trim()))
        })
    }

    /// The offset of the brace that closes the one at `open`.
    pub(crate) fn closing(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        for (offset, byte) in self.code.bytes().enumerate().skip(open) {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 1 => return offset,
                b'}' => depth -= 1,
                _ => {}
            }
        }
        self.code.len()
    }

    /// Ranges of `mod name { ... }` with whether `#[cfg(test)]` stands before it.
    pub(crate) fn inline_modules(&self) -> Vec<(std::ops::Range<usize>, bool)> {
        let blocks = words(&self.code, "mod").filter_map(|offset| {
            let rest = &self.code[offset..];
            let stop = rest.find(['{', ';'])?;
            if rest.as_bytes()[stop] != b'{' {
                return None;
            }
            let is_test = self.is_after_cfg_test(offset);
            Some((offset..self.closing(offset + stop), is_test))
        });
        blocks.collect()
    }

    /// The attributes in front of a `mod`, nearest first.
    fn attributes(&self, offset: usize) -> Vec<std::ops::Range<usize>> {
        let mut end = offset;
        let mut found = Vec::new();
        loop {
            let before = self.code[..end].trim_end();
            let before = before.trim_end_matches("pub(crate)").trim_end_matches("pub(super)");
            let before = before.trim_end_matches("pub").trim_end();
            let start = before.rfind("#[").filter(|_| before.ends_with(']'));
            let Some(start) = start else { return found };
            found.push(start..before.len());
            end = start;
        }
    }

    fn is_after_cfg_test(&self, offset: usize) -> bool {
        self.attributes(offset).into_iter().any(|range| &self.code[range] == "#[cfg(test)]")
    }

    /// Whether the code at `offset` is only compiled for tests.
    pub(crate) fn in_test(&self, offset: usize) -> bool {
        let inside =
            |(range, is_test): &(std::ops::Range<usize>, bool)| *is_test && range.contains(&offset);
        self.is_test || self.inline_modules().iter().any(inside)
    }

    /// Modules of files of their own that are only compiled for tests, as path prefixes.
    fn test_modules(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "mod.rs" | "lib.rs" | "main.rs")) => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let declared = words(&self.code, "mod").filter(|offset| self.is_after_cfg_test(*offset));
        let declared = declared.filter_map(|offset| {
            let path = self.attributes(offset).into_iter().find_map(|range| {
                self.text[range].strip_prefix("#[path = \"")?.strip_suffix(".rs\"]")
            });
            if let Some(path) = path {
                let (folder, _) = self.path.rsplit_once('/')?;
                return Some(format!("{folder}/{path}"));
            }
            let rest = &self.code[offset + "mod".len()..];
            let name = rest[..rest.find([';', '{'])?].trim();
            Some(format!("{folder}/{name}"))
        });
        declared.collect()
    }

    /// Every function that has a body.
    pub(crate) fn functions(&self) -> Vec<Function<'_>> {
        let found = words(&self.code, "fn").filter_map(|offset| {
            let start = offset + "fn ".len();
            let rest = self.code.get(start..)?;
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            let open = start + body(rest)?;
            let inside = &self.code[open..self.closing(open)];
            let lines = inside.lines().skip(1).filter(|line| !line.trim().is_empty()).count();
            (length > 0).then(|| Function { name: &rest[..length], offset: start, lines })
        });
        found.collect()
    }
}

/// Where a function's body opens; `None` for a head that ends with a semicolon.
fn body(signature: &str) -> Option<usize> {
    let mut depth = 0_i32;
    for (offset, byte) in signature.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// Marks the files that another file declares under `#[cfg(test)]`.
pub(crate) fn mark_test_files(sources: &mut [Source]) {
    let modules: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in sources {
        let module = source.path.trim_end_matches(".rs").trim_end_matches("/mod");
        let below = |parent: &String| module.starts_with(&format!("{parent}/"));
        source.is_test |= modules.iter().any(|test| test == module || below(test));
    }
}

/// Offsets at which `word` stands as a word of its own.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    code.match_indices(word).map(|(offset, _)| offset).filter(move |offset| {
        let before = offset.checked_sub(1).is_some_and(|i| is_part(code.as_bytes()[i]));
        let after = code.as_bytes().get(offset + word.len()).is_some_and(|byte| is_part(*byte));
        !before && !after
    })
}

/// Replaces what is in comments, strings and character literals by spaces.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let length = literal(&bytes[at..], at.checked_sub(1).map(|i| bytes[i]));
        for byte in code.iter_mut().skip(at).take(length).filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        at += length.max(1);
    }
    String::from_utf8(code).unwrap()
}

/// The length of the comment, string or character that `rest` begins with; else 0.
fn literal(rest: &[u8], before: Option<u8>) -> usize {
    let until = |end: &[u8], from: usize| {
        let position = rest[from..].windows(end.len()).position(|window| window == end);
        position.map_or(rest.len(), |position| from + position + end.len())
    };
    match rest {
        [b'/', b'/', ..] => until(b"\n", 0) - 1,
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest, b'"'),
        [b'r', b'"' | b'#', ..]
            if !before.is_some_and(|b| b.is_ascii_alphanumeric() && b != b'b') =>
        {
            let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
            if rest.get(1 + hashes) != Some(&b'"') {
                return 0;
            }
            let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
            until(&end, 2 + hashes)
        }
        [b'\'', b'\\', ..] => quoted(rest, b'\''),
        // A character has a second quote after its first character; a lifetime goes on.
        [b'\'', ..] => {
            let text = String::from_utf8_lossy(&rest[1..rest.len().min(6)]).into_owned();
            let width = text.chars().next().map_or(1, char::len_utf8);
            if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}
