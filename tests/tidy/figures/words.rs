//! Words of comments: how many there are, and how many of them make a sentence hard to read.
//!
//! Rich comments in plain sentences are the goal, so both are counted: a vague or negative sentence
//! must be written anew, and deleting it is noticed as well.

use crate::source::Source;

/// Words that leave open who does what.
const VAGUE: [&str; 8] = [
    "whoever",
    "somebody",
    "nobody",
    "anybody",
    "everybody",
    "those who",
    "those that",
    "those whose",
];

/// Words that turn a sentence round, so that a reader has to think what holds instead.
const NEGATIVE: [&str; 9] =
    ["not", "no", "never", "none", "nothing", "neither", "nor", "without", "cannot"];

/// What is told of comments.
#[derive(Clone, Copy)]
pub(crate) enum Measure {
    /// Vague words in 1,000.
    Vague,
    /// Negative words in 1,000.
    Negative,
    /// Words of comments for each line of code.
    Richness,
}

/// How many files are named as the worst.
const WORST: usize = 12;

impl Measure {
    pub(crate) fn of(self, sources: &[&Source]) -> f64 {
        let words = Words::of(sources.iter().copied());
        match self {
            Self::Vague => share(1_000 * words.vague, words.all),
            Self::Negative => share(1_000 * words.negative, words.all),
            Self::Richness => share(words.all, words.code_lines),
        }
    }

    /// Where a rewritten sentence helps most: the files with the most of such words, or with the most
    /// code for their comments.
    pub(crate) fn worst(self, sources: &[&Source]) -> Vec<String> {
        let weigh = |source: &&Source| {
            let words = Words::of(std::iter::once(*source));
            let weight = match self {
                Self::Vague => words.vague,
                Self::Negative => words.negative,
                Self::Richness => words.code_lines.saturating_sub(words.all),
            };
            (weight, source.path.clone())
        };
        let mut weights: Vec<(usize, String)> = sources.iter().map(weigh).collect();
        weights.sort_by(|one, other| other.cmp(one));
        weights.retain(|(weight, _)| *weight > 0);
        weights.into_iter().take(WORST).map(|(weight, path)| format!("{weight} {path}")).collect()
    }
}

/// Sums over files.
#[derive(Default)]
struct Words {
    all: usize,
    vague: usize,
    negative: usize,
    /// Lines of code: all but empty ones and comments.
    code_lines: usize,
}

impl Words {
    /// Counts comments that have their line to themselves.
    fn of<'a>(sources: impl Iterator<Item = &'a Source>) -> Self {
        let mut words = Self::default();
        for source in sources {
            let comments: Vec<&str> = source.comments().map(|(_, comment)| comment).collect();
            let lines = source.text.lines().filter(|line| !line.trim().is_empty()).count();
            words.code_lines += lines - comments.len();
            words.add(&comments.join(" ").to_lowercase());
        }
        words
    }

    fn add(&mut self, text: &str) {
        let is_part = |c: char| c.is_ascii_alphabetic() || matches!(c, '\'' | '-');
        let is_word = |word: &&str| word.contains(|c: char| c.is_ascii_alphabetic());
        self.all += text.split(|c: char| !is_part(c)).filter(is_word).count();
        let count =
            |words: &[&str]| words.iter().map(|word| occurrences(text, word)).sum::<usize>();
        self.vague += count(&VAGUE);
        self.negative += count(&NEGATIVE);
    }
}

/// How often `word` stands in `text` by itself.
fn occurrences(text: &str, word: &str) -> usize {
    crate::source::words(text, word).count()
}

fn share(part: usize, whole: usize) -> f64 {
    let number = |count: usize| u32::try_from(count).map_or(f64::NAN, f64::from);
    number(part) / number(whole.max(1))
}
