//! The special tokens of a GGUF vocabulary: which end a generation, and finding them in text.

use std::sync::OnceLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::failure::{Failure, Result};
use crate::trust::{find, Found, Special, Trust};
use crate::vocabulary::{TokenType, Vocabulary};

/// Texts that end a generation in one model family or another. Files often name only one EOS, and some
/// do not mark these as control tokens.
const END_TEXTS: &[&str] = &[
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|calls|>",
    "<|flush|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "</s>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "[e~[",
    "<｜end▁of▁sentence｜>",
    // A model that fills in the middle is done when it opens the next file.
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<reponame>",
    "<|file_sep|>",
];

/// Whether this is the text of a token that ends a generation, whatever its file says of it.
pub fn ends_generation(text: &str) -> bool {
    text != "</s>" && END_TEXTS.contains(&text) // </s> is HTML as well
}

/// The tokens that end a generation, `named` (the file's own EOS, EOT, EOM) first. They become control
/// tokens, so that text cannot spell them and decoding does not show them.
pub fn end_tokens(vocabulary: &mut Vocabulary, named: &[i32]) -> Vec<i32> {
    let has = |text: &str| vocabulary.find(text.as_bytes()).is_some();
    // In gpt-oss and Solar <|end|> ends a message, not the answer.
    let messages = has("<|return|>") && has("<|call|>") || has("<|calls|>") && has("<|flush|>");
    let mut ends: Vec<i32> = Vec::new();
    for &id in named {
        if (0..vocabulary.len() as i64).contains(&i64::from(id)) && !ends.contains(&id) {
            ends.push(id);
        }
    }
    for &text in END_TEXTS {
        let Some(id) = vocabulary.find(text.as_bytes()) else { continue };
        // Where </s> is no control token, it is HTML's end of a struck-out text, as in Gemma.
        let html = text == "</s>" && vocabulary.token_type(id) != TokenType::Control;
        if html || text == "<|end|>" && messages {
            continue;
        }
        vocabulary.set_control(id);
        if !ends.contains(&(id as i32)) {
            ends.push(id as i32);
        }
    }
    ends
}

/// A stretch of text, or a special token that was found in it.
pub enum Fragment<'t> {
    Text(&'t str),
    Token(u32),
}

/// Cuts text at special tokens: the leftmost, of those the longest. User-defined tokens are always
/// found; control and unknown ones only where the text is trusted.
pub struct SpecialTokens {
    all: OnceLock<Matcher>,
    user_defined: OnceLock<Matcher>,
    /// Phi-3's special tokens swallow the white space after them.
    pub strips_right: bool,
}

struct Matcher {
    automaton: Option<AhoCorasick>,
    ids: Vec<u32>,
}

impl SpecialTokens {
    pub fn new(strips_right: bool) -> SpecialTokens {
        SpecialTokens { all: OnceLock::new(), user_defined: OnceLock::new(), strips_right }
    }

    pub fn split<'t>(
        &self,
        vocabulary: &Vocabulary,
        text: &'t str,
        special: Special,
    ) -> Result<Vec<Fragment<'t>>> {
        let parse_special = !matches!(special, Special::Nowhere);
        let cell = if parse_special { &self.all } else { &self.user_defined };
        if cell.get().is_none() {
            let matcher = Matcher::new(vocabulary, parse_special)?;
            cell.get_or_init(|| matcher);
        }
        let matcher = cell.get().expect("set above");
        let trust = |found: &Found| {
            let id = matcher.ids[found.pattern];
            match special {
                // A user-defined token may be spelled within a control token that is only text.
                Special::Within(_) if is_guarded(vocabulary, id) => {
                    let trust = special.trust(&found.bytes);
                    if trust == Trust::None {
                        Trust::Part
                    } else {
                        trust
                    }
                }
                _ => Trust::Whole,
            }
        };

        let mut fragments = Vec::new();
        let mut end = 0;
        let found = matcher.automaton.iter().flat_map(|a| find(a, text, trust));
        for found in found {
            let (pattern, bytes) = (found.pattern, found.bytes);
            if bytes.start < end {
                continue; // within the white space that the token before swallowed
            }
            if bytes.start > end {
                fragments.push(Fragment::Text(&text[end..bytes.start]));
            }
            let id = matcher.ids[pattern];
            fragments.push(Fragment::Token(id));
            end = bytes.end;
            if self.strips_right
                && !matches!(vocabulary.text(id), b"<unk>" | b"<s>" | b"<|endoftext|>")
            {
                end += text[end..].len() - text[end..].trim_start().len();
            }
        }
        if end < text.len() {
            fragments.push(Fragment::Text(&text[end..]));
        }
        Ok(fragments)
    }
}

/// The spellings that only a trusted text may use.
pub fn guarded(vocabulary: &Vocabulary) -> impl Iterator<Item = &str> {
    let ids = (0..vocabulary.len() as u32).filter(|&id| is_guarded(vocabulary, id));
    ids.filter_map(|id| std::str::from_utf8(vocabulary.text(id)).ok())
}

fn is_guarded(vocabulary: &Vocabulary, id: u32) -> bool {
    matches!(vocabulary.token_type(id), TokenType::Control | TokenType::Unknown)
        && !vocabulary.text(id).trim_ascii().is_empty()
}

impl Matcher {
    fn new(vocabulary: &Vocabulary, parse_special: bool) -> Result<Matcher> {
        let wanted = |id: &u32| match vocabulary.token_type(*id) {
            TokenType::UserDefined => true,
            TokenType::Control | TokenType::Unknown => parse_special,
            _ => false,
        };
        let ids = (0..vocabulary.len() as u32).filter(wanted);
        // Only valid text can be found in valid text, and empty tokens would be found everywhere.
        let is_text = |id: &u32| {
            let text = vocabulary.text(*id);
            !text.is_empty() && std::str::from_utf8(text).is_ok()
        };
        let ids: Vec<u32> = ids.filter(is_text).collect();
        let automaton = if ids.is_empty() {
            None
        } else {
            let built = AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(ids.iter().map(|&id| vocabulary.text(id)));
            Some(built.map_err(|e| Failure::BadModel(format!("tokenizer.ggml.tokens: {e}")))?)
        };
        Ok(Matcher { automaton, ids })
    }
}
