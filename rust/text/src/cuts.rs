//! Where a long text can be cut so that the tokens of its parts are those of the whole: `tokenizers` takes
//! some 130 times a text's size while it works, a budget of memory has room for that of a part.

use std::ops::Range;

use tokenizers::AddedToken;

/// Bytes of a part, more only where there is no place to cut.
pub const PART: usize = 32 << 10;

/// Which places can be cut at.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cuts {
    lines: bool,
    words: bool,
}

/// After a line's end, between "x\n" and "y".
fn is_line(text: &[u8], at: usize) -> bool {
    at >= 2
        && at < text.len()
        && text[at - 2].is_ascii_graphic()
        && text[at - 1] == b'\n'
        && text[at].is_ascii_alphanumeric()
}

/// Before a space, between "x" and " y".
fn is_word(text: &[u8], at: usize) -> bool {
    at >= 1
        && at + 1 < text.len()
        && text[at - 1].is_ascii_alphanumeric()
        && text[at] == b' '
        && text[at + 1].is_ascii_alphanumeric()
}

/// As vocabularies spell them: GPT-2's bytes, SentencePiece's mark.
const LINE_ENDS: &[char] = &['\n', 'Ċ'];
const SPACES: &[char] = &[' ', 'Ġ', '▁'];

/// Ends of a text's first part, before whatever ends it, and beginnings of its second.
const FIRST: &[&str] =
    &["a", "Word", "x1", "1234567", "we'", "don't stop", "naïve b", "漢字 a", "A.B2", "  z"];
const SECOND: &[&str] =
    &["b", "The end", "12345678", "s", "t's", "9é", "m 漢字", "ll", "AbC", "0.5"];

impl Cuts {
    /// A place is one where no word of the model and no added token reaches across, and where examples
    /// (`ids` gives their tokens) do not differ: not everything that a file can ask for is known here.
    pub fn new<'a>(
        words: impl Iterator<Item = &'a [u8]>,
        added: impl Iterator<Item = &'a AddedToken>,
        ids: impl Fn(&str) -> Option<Vec<u32>>,
    ) -> Cuts {
        let mut cuts = Cuts { lines: true, words: true };
        for word in words {
            cuts.keep_apart(&String::from_utf8_lossy(word));
        }
        for token in added {
            cuts.keep_apart(&token.content);
            let strips = token.lstrip || token.rstrip;
            let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
            if strips
                && (is_edge(token.content.chars().next())
                    || is_edge(token.content.chars().next_back()))
            {
                return Cuts::default();
            }
        }
        let agree = |first: &str, second: &str| {
            let parts = ids(first).zip(ids(second)).map(|(a, b)| [a, b].concat());
            parts.is_some() && parts == ids(&format!("{first}{second}"))
        };
        let all = |agree: &dyn Fn(&str, &str) -> bool| {
            FIRST.iter().all(|first| SECOND.iter().all(|second| agree(first, second)))
        };
        let ends = ["\n", ".\n", ")\n"];
        cuts.lines &= ends.iter().all(|end| all(&|a, b| agree(&format!("{a}{end}"), b)));
        cuts.words &= all(&|a, b| a.ends_with('\'') || agree(a, &format!(" {b}")));
        cuts
    }

    /// Cuts nowhere that this text reaches across.
    fn keep_apart(&mut self, text: &str) {
        let mut before = None;
        for c in text.chars() {
            if let Some(before) = before.replace(c) {
                self.lines &= !(LINE_ENDS.contains(&before) && c.is_ascii_alphanumeric());
                self.words &= !(before.is_ascii_alphanumeric() && SPACES.contains(&c));
            }
        }
    }

    /// `text` in parts, in order.
    pub fn parts(&self, text: &str) -> Vec<Range<usize>> {
        let text = text.as_bytes();
        let (mut parts, mut start) = (Vec::new(), 0);
        while let Some(end) = self.next(text, start) {
            parts.push(start..end);
            start = end;
        }
        parts.push(start..text.len());
        parts
    }

    /// The last line's end in the second half of the part that begins at `start`, else the last space, else the next of either.
    fn next(&self, text: &[u8], start: usize) -> Option<usize> {
        if text.len() - start <= PART {
            return None;
        }
        let (least, most) = (start + PART / 2, start + PART);
        let line = |at: &usize| self.lines && is_line(text, *at);
        let word = |at: &usize| self.words && is_word(text, *at);
        let last = (least..most).rev().find(line).or_else(|| (least..most).rev().find(word));
        last.or_else(|| (most..text.len()).find(|at| line(at) || word(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<Vec<u32>> {
        Some(text.bytes().map(u32::from).collect())
    }

    fn words(words: &[&'static str]) -> Cuts {
        Cuts::new(words.iter().map(|word| word.as_bytes()), [].iter(), bytes)
    }

    fn added(token: AddedToken) -> Cuts {
        Cuts::new([].into_iter(), [token].iter(), bytes)
    }

    const BOTH: Cuts = Cuts { lines: true, words: true };
    const LINES: Cuts = Cuts { lines: true, words: false };
    const WORDS: Cuts = Cuts { lines: false, words: true };

    #[test]
    fn nothing_reaches_across_a_cut() {
        assert_eq!(words(&["a", "Ġa", ".Ċ", "ĊĊ", "Ċ ", "▁▁", "é▁"]), BOTH);
        assert_eq!(words(&["a▁b"]), LINES);
        assert_eq!(words(&["aĠ"]), LINES);
        assert_eq!(words(&["ĊĊa"]), WORDS);
        assert_eq!(added(AddedToken::from("<a b>", true)), LINES);
        assert_eq!(added(AddedToken::from("<t>", true).rstrip(true)), BOTH);
        assert_eq!(added(AddedToken::from("<t", true).rstrip(true)), Cuts::default());
    }

    #[test]
    fn what_the_examples_show_counts() {
        let none = || [].into_iter();
        let prefixed = |text: &str| bytes(&format!("▁{text}"));
        assert_eq!(Cuts::new(none(), [].iter(), prefixed), Cuts::default());
        let marked = |spelling: &'static str| {
            move |text: &str| bytes(&text.replace(spelling, &spelling.to_uppercase()))
        };
        assert_eq!(Cuts::new(none(), [].iter(), marked("b t")), LINES);
        assert_eq!(Cuts::new(none(), [].iter(), marked(".\nll")), WORDS);
        assert_eq!(Cuts::new(none(), [].iter(), |_| None), Cuts::default());
    }

    #[test]
    fn parts_are_the_text_and_end_where_it_can_be_cut() {
        let line = "some words, 漢字 and more\n";
        let text = line.repeat(4 * PART / line.len());
        let parts = BOTH.parts(&text);
        assert!(parts.iter().all(|part| part.len() <= PART && text[..part.end].ends_with('\n')));
        let joined: String = parts.into_iter().map(|part| &text[part]).collect();
        assert_eq!(joined, text);
        assert!(BOTH.parts(&"word ".repeat(PART)).len() > 5);
        assert_eq!(BOTH.parts(&"漢".repeat(PART)).len(), 1);
        assert_eq!(Cuts::default().parts(&text).len(), 1);
        assert_eq!(BOTH.parts("").len(), 1);
        let late = format!("{}a bc", "漢".repeat(PART));
        assert_eq!(BOTH.parts(&late).len(), 2);
    }
}
