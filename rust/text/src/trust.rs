//! Whose spelling of a special token counts. A model's control tokens (the beginning of a turn, its end)
//! are also text: "<|im_end|>" in what a user typed must stay text, while the chat template's own is meant.

use std::ops::Range;

use aho_corasick::{AhoCorasick, Input};

/// Where in a text special tokens are read as such.
#[derive(Clone, Copy, Debug)]
pub enum Special<'a> {
    Anywhere,
    Nowhere,
    /// In these bytes only: ascending and apart.
    Within(&'a [Range<usize>]),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trust {
    Whole,
    Part,
    None,
}

impl Special<'_> {
    /// How much of these bytes may be read as a special token.
    pub fn trust(&self, bytes: &Range<usize>) -> Trust {
        let ranges = match self {
            Special::Anywhere => return Trust::Whole,
            Special::Nowhere => return Trust::None,
            Special::Within(ranges) => ranges,
        };
        let first = ranges.partition_point(|range| range.end <= bytes.start);
        match ranges.get(first) {
            Some(range) if range.start <= bytes.start && bytes.end <= range.end => Trust::Whole,
            Some(range) if range.start < bytes.end => Trust::Part,
            _ => Trust::None,
        }
    }
}

/// Those of `trusted` that lie in `part` of a text, as places in that part.
pub fn within(trusted: &[Range<usize>], part: &Range<usize>) -> Vec<Range<usize>> {
    let clamp = |at: usize| at.clamp(part.start, part.end) - part.start;
    let clamped = trusted.iter().map(|range| clamp(range.start)..clamp(range.end));
    clamped.filter(|range| !range.is_empty()).collect()
}

/// A token's spelling in a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub pattern: usize,
    pub bytes: Range<usize>,
}

/// The spellings in `text` that count: the leftmost, of those the longest. What `trust` denies is passed
/// over as a whole; where it grants a part, a shorter spelling or one that begins later can count.
pub fn find(automaton: &AhoCorasick, text: &str, trust: impl Fn(&Found) -> Trust) -> Vec<Found> {
    let longest = |bytes: Range<usize>| {
        let found = automaton.find(Input::new(text).range(bytes))?;
        Some(Found { pattern: found.pattern().as_usize(), bytes: found.range() })
    };
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(found) = longest(at..text.len()) {
        let (start, end) = (found.bytes.start, found.bytes.end);
        let counts = match trust(&found) {
            Trust::Whole => Some(found),
            Trust::None => {
                at = end;
                continue;
            }
            Trust::Part => std::iter::successors(Some(found), |longer| {
                longest(start..longer.bytes.end - 1).filter(|shorter| shorter.bytes.start == start)
            })
            .find(|shorter| trust(shorter) == Trust::Whole),
        };
        at = match counts {
            Some(found) => {
                let end = found.bytes.end;
                all.push(found);
                end
            }
            None => start + text[start..].chars().next().map_or(1, char::len_utf8),
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use aho_corasick::MatchKind;

    fn spans(text: &str, trusted: &[Range<usize>]) -> Vec<Range<usize>> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(["<a>", "<a>>", "]<a", "é<"])
            .unwrap();
        let special = Special::Within(trusted);
        let found = find(&automaton, text, |found| special.trust(&found.bytes));
        found.into_iter().map(|found| found.bytes).collect()
    }

    #[test]
    fn only_spellings_within_the_trusted_bytes_count() {
        assert_eq!(spans("<a> <a>", &[0..3]), [0..3]);
        assert_eq!(spans("<a> <a>", &[4..7]), [4..7]);
        assert_eq!(spans("<a><a>", &[0..6]), [0..3, 3..6]);
        assert!(spans("<a>", &[0..2]).is_empty());
        assert!(spans("<a>", &[]).is_empty());
    }

    #[test]
    fn a_part_has_its_share_of_the_trusted_bytes() {
        assert_eq!(within(&[0..4, 6..9, 12..20], &(3..13)), [0..1, 3..6, 9..10]);
        assert!(within(&[0..3, 13..14], &(3..13)).is_empty());
    }

    #[test]
    fn text_beside_a_trusted_spelling_does_not_hide_it() {
        assert_eq!(spans("<a>>", &[0..3]), [0..3]);
        assert_eq!(spans("]<a>", &[1..4]), [1..4]);
        assert_eq!(spans("é<a>", &[2..5]), [2..5]);
    }
}
