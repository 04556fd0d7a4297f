//! The tokenizer inside a GGUF file: byte-pair encoding by ranked merges ("gpt2", "gemma4") or
//! SentencePiece's score-ordered merging ("llama"), both over the mapped vocabulary. Built on purpose
//! without the `tokenizers` crate: its BPE would need Gemma's 513,511 merges derived and hashed as
//! owned strings at every start.

use std::cmp::Reverse;

use crate::byte_level;
use crate::failure::{Failure, Result};
use crate::merge::merge;
use crate::pretokenizer::PreTokenizer;
use crate::special::{end_tokens, guarded, Fragment, SpecialTokens};
use crate::strings::{Duplicates, Index, Strings};
use crate::trust::Special;
use crate::vocabulary::{byte_of, TokenType, Vocabulary};

pub const SPACE_MARK: &str = "\u{2581}"; // SentencePiece's visible space

/// What the file's metadata says, in the file's words. Ids and flags that are absent are -1.
pub struct Metadata<'a> {
    pub model: &'a str,
    pub pre: &'a str,
    pub general_name: &'a str,
    pub bos_id: i32,
    pub unknown_id: i32,
    pub eos_ids: &'a [i32],
    pub add_bos: i32,
    pub add_eos: i32,
    pub add_space_prefix: i32,
}

/// The file's arrays, as its bytes. They must stay mapped while the tokenizer lives.
pub struct Arrays {
    pub tokens: (&'static [u8], u64),
    pub merges: (&'static [u8], u64),
    pub types: &'static [u8],
    pub scores: &'static [u8],
}

pub enum Model {
    Bpe { pre: PreTokenizer, merges: Strings, ranks: Index },
    SentencePiece,
}

pub struct GgufTokenizer {
    pub vocabulary: Vocabulary,
    special: SpecialTokens,
    pub model: Model,
    pub bos: Option<u32>,
    pub eos: Vec<i32>,
    pub unknown: Option<u32>,
    pub add_bos: bool,
    pub add_eos: bool,
    pub space_prefix: bool,
}

impl GgufTokenizer {
    pub fn open(metadata: &Metadata, arrays: Arrays) -> Result<GgufTokenizer> {
        let sentencepiece = match metadata.model {
            "llama" => true,
            "gpt2" | "gemma4" => false,
            other => {
                let message = format!("tokenizer.ggml.model '{other}' is not supported");
                return Err(Failure::Unsupported(message));
            }
        };
        let (tokens, count) = arrays.tokens;
        let mut vocabulary = Vocabulary::new(tokens, count, arrays.types, arrays.scores)?;
        if sentencepiece && arrays.scores.is_empty() {
            return Err(Failure::BadModel("tokenizer.ggml.scores is missing".into()));
        }
        let model = if sentencepiece { Model::SentencePiece } else { open_bpe(metadata, &arrays)? };
        let traits = match &model {
            Model::Bpe { pre, .. } => pre.traits,
            Model::SentencePiece => Default::default(),
        };

        // SentencePiece files older than the keys mean 1, 2 and 0.
        let id = |given: i32, default: i32| {
            let id = if given < 0 && sentencepiece { default } else { given };
            u32::try_from(id).ok().filter(|&id| (id as usize) < vocabulary.len())
        };
        let (bos, unknown) = (id(metadata.bos_id, 1), id(metadata.unknown_id, 0));
        let mut named_ends = metadata.eos_ids.to_vec();
        if named_ends.is_empty() && sentencepiece {
            named_ends.push(2);
        }
        let eos = end_tokens(&mut vocabulary, &named_ends);
        let flag = |given: i32, default: bool| if given < 0 { default } else { given > 0 };
        // Gemma 4 wants its BOS even where the file denies it.
        let add_bos =
            flag(metadata.add_bos, sentencepiece || traits.add_bos) || traits.newline_runs;
        let name = metadata.general_name.to_ascii_lowercase();
        let is_phi3 = sentencepiece && (name.contains("phi-3") || name.contains("phi3"));
        Ok(GgufTokenizer {
            special: SpecialTokens::new(is_phi3),
            add_bos: add_bos && bos.is_some(),
            add_eos: metadata.add_eos > 0 && !eos.is_empty(),
            space_prefix: flag(metadata.add_space_prefix, sentencepiece),
            vocabulary,
            model,
            bos,
            eos,
            unknown,
        })
    }

    pub fn encode(&self, text: &str, add_special: bool, special: Special) -> Result<Vec<i32>> {
        let mut ids: Vec<u32> = Vec::with_capacity(text.len() / 3 + 2);
        ids.extend(self.bos.filter(|_| add_special && self.add_bos));
        let mut starts = true; // at the text's start or right after a special token
        for fragment in self.special.split(&self.vocabulary, text, special)? {
            match fragment {
                Fragment::Token(id) => ids.push(id),
                Fragment::Text(text) => self.encode_fragment(text, starts, &mut ids)?,
            }
            starts = matches!(fragment, Fragment::Token(_));
        }
        let mut ids: Vec<i32> = ids.into_iter().map(|id| id as i32).collect();
        if add_special && self.add_eos {
            ids.push(self.eos[0]);
        }
        Ok(ids)
    }

    fn encode_fragment(&self, text: &str, starts: bool, ids: &mut Vec<u32>) -> Result<()> {
        match &self.model {
            Model::SentencePiece => {
                let prefix = if starts && self.space_prefix { SPACE_MARK } else { "" };
                let marked = format!("{prefix}{}", text.replace(' ', SPACE_MARK));
                self.merge_by_score(&marked, ids);
            }
            Model::Bpe { pre, merges, ranks } if pre.traits.plain_text => {
                for word in pre.split(&text.replace(' ', SPACE_MARK))? {
                    self.merge_by_rank(pre, merges, ranks, word, ids);
                }
            }
            Model::Bpe { pre, merges, ranks } => {
                let mut encoded = String::new();
                for word in pre.split(text)? {
                    encoded.clear();
                    encoded.extend(word.bytes().map(|b| byte_level::CHARS[b as usize]));
                    self.merge_by_rank(pre, merges, ranks, &encoded, ids);
                }
            }
        }
        Ok(())
    }

    /// SentencePiece's order: the pair whose joined piece scores highest. Pieces that stand for
    /// something else than their text (control, bytes, unknown) are never made from text.
    fn merge_by_score(&self, text: &str, ids: &mut Vec<u32>) {
        let vocabulary = &self.vocabulary;
        let key = |start: usize, _: usize, end: usize| {
            let id = vocabulary.find(&text.as_bytes()[start..end])?;
            match vocabulary.token_type(id) {
                TokenType::Control | TokenType::Unknown | TokenType::Byte => None,
                _ => Some(Reverse(Score(vocabulary.score(id)))),
            }
        };
        let starts = text.char_indices().map(|(i, _)| i);
        merge(text.len(), starts, key, |a, b| self.push_piece(&text[a..b], true, ids));
    }

    fn merge_by_rank(
        &self,
        pre: &PreTokenizer,
        merges: &Strings,
        ranks: &Index,
        word: &str,
        ids: &mut Vec<u32>,
    ) {
        let is_newlines = pre.traits.newline_runs && word.bytes().all(|b| b == b'\n');
        if pre.traits.ignore_merges || is_newlines {
            if let Some(id) = self.vocabulary.find(word.as_bytes()) {
                ids.push(id);
                return;
            }
        }
        let mut pair = Vec::new();
        let key = |start: usize, middle: usize, end: usize| {
            pair.clear();
            pair.extend_from_slice(&word.as_bytes()[start..middle]);
            pair.push(b' ');
            pair.extend_from_slice(&word.as_bytes()[middle..end]);
            ranks.find(merges, &pair)
        };
        let starts = word.char_indices().map(|(i, _)| i);
        let fallback = pre.traits.plain_text;
        merge(word.len(), starts, key, |a, b| self.push_piece(&word[a..b], fallback, ids));
    }

    /// A finished piece's token; else its bytes' tokens, else its characters', else the unknown token.
    fn push_piece(&self, piece: &str, byte_fallback: bool, ids: &mut Vec<u32>) {
        if let Some(id) = self.vocabulary.find(piece.as_bytes()) {
            ids.push(id);
        } else if byte_fallback && piece.bytes().all(|b| self.vocabulary.byte_token(b).is_some()) {
            ids.extend(piece.bytes().filter_map(|b| self.vocabulary.byte_token(b)));
        } else {
            let mut utf8 = [0; 4];
            for c in piece.chars() {
                let id = self.vocabulary.find(c.encode_utf8(&mut utf8).as_bytes());
                ids.extend(id.or(self.unknown));
            }
        }
    }

    pub fn token_bytes(&self, id: u32, keep_special: bool) -> Vec<u8> {
        let text = self.vocabulary.text(id);
        match self.vocabulary.token_type(id) {
            TokenType::Control | TokenType::Unknown if !keep_special => Vec::new(),
            TokenType::Control | TokenType::Unknown | TokenType::UserDefined => text.to_vec(),
            TokenType::Byte => byte_of(text).map_or_else(|| text.to_vec(), |byte| vec![byte]),
            _ => match &self.model {
                Model::Bpe { pre, .. } if !pre.traits.plain_text => byte_level::decode(text),
                _ => replace(text, SPACE_MARK.as_bytes(), b" "),
            },
        }
    }

    pub fn token_id(&self, text: &[u8]) -> Option<u32> {
        self.vocabulary.find(text)
    }

    pub fn vocab_size(&self) -> usize {
        self.vocabulary.len()
    }

    pub fn guarded(&self) -> impl Iterator<Item = &str> {
        guarded(&self.vocabulary)
    }

    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    pub fn is_control(&self, id: u32) -> bool {
        matches!(self.vocabulary.token_type(id), TokenType::Control | TokenType::Unknown)
    }

    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    pub fn adds_bos(&self) -> bool {
        self.add_bos
    }

    pub fn eos(&self) -> &[i32] {
        &self.eos
    }

    pub fn drops_first_space(&self) -> bool {
        self.space_prefix
    }
}

fn open_bpe(metadata: &Metadata, arrays: &Arrays) -> Result<Model> {
    let (bytes, count) = arrays.merges;
    if bytes.is_empty() {
        return Err(Failure::BadModel("tokenizer.ggml.merges is missing".into()));
    }
    let name = if metadata.model == "gemma4" { "gemma4" } else { metadata.pre };
    let merges = Strings::parse(bytes, count, "tokenizer.ggml.merges")?;
    Ok(Model::Bpe {
        pre: PreTokenizer::named(name)?,
        ranks: Index::new(&merges, Duplicates::FirstWins),
        merges,
    })
}

fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&first) = rest.first() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(first);
            rest = &rest[1..];
        }
    }
    out
}

/// A score with a total order; -0 equals 0.
#[derive(PartialEq)]
struct Score(f32);

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> std::cmp::Ordering {
        (self.0 + 0.0).total_cmp(&(other.0 + 0.0))
    }
}
