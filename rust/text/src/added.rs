//! The added tokens of a tokenizer.json, found in text with the results of `tokenizers`' own search, which
//! keeps "special tokens are plain text" as a state of the whole tokenizer. Here it is a parameter.

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use tokenizers::normalizer::Range;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, NormalizerWrapper, PreTokenizedString, Token,
};

use crate::special::ends_generation;
use crate::trust::{find, Found, Special, Trust};

type Error = tokenizers::Error;
type Piece = (NormalizedString, Option<Vec<Token>>);

/// What becomes of special tokens' spellings that are only text: they stay whole, or are broken up for a
/// model that would make the special token of them.
#[derive(Clone, Copy, PartialEq)]
pub enum Untrusted {
    Whole,
    Broken,
}

pub struct AddedTokens {
    by_id: HashMap<u32, AddedToken>,
    /// Looked for in the text as it is, and then, in what is left, in the normalized text.
    written: Patterns,
    normalized: Patterns,
}

#[derive(Default)]
struct Patterns {
    automaton: Option<AhoCorasick>,
    ids: Vec<u32>,
}

impl AddedTokens {
    pub fn new(
        tokens: impl IntoIterator<Item = (u32, AddedToken)>,
        normalizer: Option<&NormalizerWrapper>,
    ) -> Result<AddedTokens, Error> {
        let by_id: HashMap<u32, AddedToken> = tokens.into_iter().collect();
        let (mut written, mut normalized) = (Vec::new(), Vec::new());
        for (&id, token) in &by_id {
            if token.normalized {
                normalized.push((id, normal_form(&token.content, normalizer)?));
            } else {
                written.push((id, token.content.clone()));
            }
        }
        Ok(AddedTokens {
            written: Patterns::new(written)?,
            normalized: Patterns::new(normalized)?,
            by_id,
        })
    }

    pub fn get(&self, id: u32) -> Option<&AddedToken> {
        self.by_id.get(&id)
    }

    pub fn tokens(&self) -> impl Iterator<Item = &AddedToken> {
        self.by_id.values()
    }

    pub fn ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.by_id.keys().copied()
    }

    /// The spellings that only a trusted text may use: those of special tokens and of the ends of a turn,
    /// but for white space alone, of which any text is full.
    pub fn guarded(&self) -> impl Iterator<Item = &str> {
        let texts = self.by_id.values().filter(|token| is_guarded(token));
        texts.map(|token| token.content.as_str())
    }

    /// How many of these ids only a trusted text may have.
    pub fn count_guarded(&self, ids: impl Iterator<Item = u32>) -> usize {
        ids.filter(|id| self.by_id.get(id).is_some_and(is_guarded)).count()
    }

    /// Cuts `text` at the added tokens that it may spell, and normalizes what is between them. `untrusted`
    /// says what becomes of the spellings that do not count.
    pub fn split(
        &self,
        text: &str,
        normalizer: Option<&NormalizerWrapper>,
        special: Special,
        untrusted: Untrusted,
    ) -> Result<PreTokenizedString, Error> {
        let mut pieces = PreTokenizedString::from(text);
        pieces.split(|_, piece| self.cut(&self.written, piece, special))?;
        if untrusted == Untrusted::Broken {
            pieces.split(|_, piece| self.break_up(piece))?;
        }
        pieces.split(|_, mut piece| {
            if let Some(normalizer) = normalizer {
                normalizer.normalize(&mut piece)?;
            }
            self.cut(&self.normalized, piece, special)
        })?;
        Ok(pieces)
    }

    /// Cuts after the first character of each spelling that is left, so that no model sees it whole.
    fn break_up(&self, piece: NormalizedString) -> Result<Vec<Piece>, Error> {
        let Some(automaton) = &self.written.automaton else {
            return Ok(vec![(piece, None)]);
        };
        let text = piece.get();
        let mut places = vec![0];
        let mut at = 0;
        while let Some(found) = automaton.find(Input::new(text).range(at..)) {
            at = found.start() + text[found.start()..].chars().next().map_or(1, char::len_utf8);
            let token = &self.by_id[&self.written.ids[found.pattern()]];
            if is_guarded(token) && at < found.end() {
                places.push(at);
            }
        }
        places.push(text.len());
        let part = |ends: &[usize]| Some((piece.slice(Range::Normalized(ends[0]..ends[1]))?, None));
        let parts = places.windows(2).map(part);
        parts.collect::<Option<_>>().ok_or_else(|| Error::from("a spelling that is no text"))
    }

    fn cut(
        &self,
        patterns: &Patterns,
        piece: NormalizedString,
        special: Special,
    ) -> Result<Vec<Piece>, Error> {
        let Some(automaton) = &patterns.automaton else {
            return Ok(vec![(piece, None)]);
        };
        let text = piece.get();
        let slice = |start: usize, end: usize| {
            let part = piece.slice(Range::Normalized(start..end));
            part.ok_or_else(|| Error::from("an added token was found between two characters"))
        };
        let trust = |found: &Found| {
            let token = &self.by_id[&patterns.ids[found.pattern]];
            match special {
                Special::Within(_) if is_guarded(token) => {
                    let written = slice(found.bytes.start, found.bytes.end);
                    let written = written.map(|part| part.offsets_original());
                    written.map_or(Trust::None, |(start, end)| special.trust(&(start..end)))
                }
                Special::Nowhere if token.special => Trust::None,
                _ => Trust::Whole,
            }
        };
        let mut pieces = Vec::new();
        let mut done = 0;
        for found in find(automaton, text, trust) {
            let id = patterns.ids[found.pattern];
            let Some((start, end)) = extent(&self.by_id[&id], text, &found, done) else {
                continue;
            };
            if done < start {
                pieces.push((slice(done, start)?, None));
            }
            pieces.push((slice(start, end)?, Some(vec![Token::new(id, String::new(), (0, 0))])));
            done = end;
        }
        if done < text.len() {
            pieces.push((slice(done, text.len())?, None));
        }
        Ok(pieces)
    }
}

impl Patterns {
    fn new(mut tokens: Vec<(u32, String)>) -> Result<Patterns, Error> {
        tokens.retain(|(_, text)| !text.is_empty());
        tokens.sort(); // not a map's order: of equal texts always the same one
        if tokens.is_empty() {
            return Ok(Patterns::default());
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|(_, text)| text))?;
        let ids = tokens.into_iter().map(|(id, _)| id).collect();
        Ok(Patterns { automaton: Some(automaton), ids })
    }
}

fn is_guarded(token: &AddedToken) -> bool {
    (token.special || ends_generation(&token.content)) && !token.content.trim().is_empty()
}

fn normal_form(text: &str, normalizer: Option<&NormalizerWrapper>) -> Result<String, Error> {
    let mut normal = NormalizedString::from(text);
    if let Some(normalizer) = normalizer {
        normalizer.normalize(&mut normal)?;
    }
    Ok(normal.get().to_string())
}

/// What of the text the token takes, white space beside it that it strips included, from `done` on.
/// None where it must be a word and is part of one.
fn extent(token: &AddedToken, text: &str, found: &Found, done: usize) -> Option<(usize, usize)> {
    let (before, after) = (&text[..found.bytes.start], &text[found.bytes.end..]);
    let touches_word = before.chars().next_back().is_some_and(is_word)
        || after.chars().next().is_some_and(is_word);
    if token.single_word && touches_word {
        return None;
    }
    let mut start = found.bytes.start;
    if token.lstrip {
        start = before.trim_end().len().max(done);
    }
    let mut end = found.bytes.end;
    if token.rstrip {
        end += after.len() - after.trim_start().len();
    }
    Some((start, end))
}

/// A regular expression's \w.
fn is_word(c: char) -> bool {
    use std::sync::LazyLock;
    static WORD: LazyLock<fancy_regex::Regex> =
        LazyLock::new(|| fancy_regex::Regex::new(r"^\w$").expect("is an expression"));
    WORD.is_match(c.encode_utf8(&mut [0; 4])).unwrap_or(false)
}
