//! The BPE model of a tokenizer.json in little room, with the results of `tokenizers`' own, whatever the
//! file says: unknown characters, bytes for them, prefixes and suffixes, and pairs in its order.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ahash::RandomState;
use hashbrown::hash_table::Entry;
use hashbrown::HashTable;
use tokenizers::models::bpe::Error;

use crate::words::Words;

#[derive(Default)]
pub struct Options {
    pub unk_token: Option<String>,
    pub continuing_subword_prefix: Option<String>,
    pub end_of_word_suffix: Option<String>,
    pub fuse_unk: bool,
    pub byte_fallback: bool,
    pub ignore_merges: bool,
}

/// Two neighbouring ids and the one they become. Merges are listed in the order of their ranks.
#[derive(Clone, Copy)]
pub struct Merge {
    pub left: u32,
    pub right: u32,
    pub merged: u32,
}

/// A merge in the table, which holds nothing but these: one place to look at for each pair.
struct Ranked {
    merge: Merge,
    rank: u32,
}

struct Merges {
    table: HashTable<Ranked>,
    hasher: RandomState,
}

impl Merges {
    /// Of several merges of one pair the last counts.
    fn new(list: Vec<Merge>) -> Merges {
        let hasher = RandomState::new();
        let mut table = HashTable::with_capacity(list.len());
        let hash = |merge: &Merge| hasher.hash_one(pair(merge.left, merge.right));
        for (rank, merge) in list.into_iter().enumerate() {
            let key = pair(merge.left, merge.right);
            let same = |other: &Ranked| pair(other.merge.left, other.merge.right) == key;
            let ranked = Ranked { merge, rank: rank as u32 };
            match table.entry(hash(&merge), same, |other| hash(&other.merge)) {
                Entry::Vacant(vacant) => {
                    vacant.insert(ranked);
                }
                Entry::Occupied(mut occupied) => *occupied.get_mut() = ranked,
            }
        }
        Merges { table, hasher }
    }

    /// The rank of merging these two and what they become.
    fn find(&self, left: u32, right: u32) -> Option<(u32, u32)> {
        let key = pair(left, right);
        let same = |other: &Ranked| pair(other.merge.left, other.merge.right) == key;
        let found = self.table.find(self.hasher.hash_one(key), same)?;
        Some((found.rank, found.merge.merged))
    }
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// Some of a word's text and the id it has so far.
#[derive(Clone, Copy)]
pub struct Piece {
    pub id: u32,
    pub length: usize, // 0: merged into its left neighbour
    prev: usize,
    next: usize,
}

const NONE: usize = usize::MAX;

fn push(pieces: &mut Vec<Piece>, id: u32, length: usize) {
    let i = pieces.len();
    if let Some(last) = pieces.last_mut() {
        last.next = i;
    }
    pieces.push(Piece { id, length, prev: i.wrapping_sub(1), next: NONE });
}

pub struct Bpe {
    words: Words,
    merges: Merges,
    options: Options,
    /// The word "<0xNN>" for each byte.
    byte_words: [Option<u32>; 256],
}

impl Bpe {
    pub fn new(words: Words, merges: Vec<Merge>, options: Options) -> Bpe {
        let byte_word = |byte: usize| words.id(format!("<0x{byte:02X}>").as_bytes());
        Bpe {
            byte_words: std::array::from_fn(byte_word),
            merges: Merges::new(merges),
            words,
            options,
        }
    }

    pub fn words(&self) -> &Words {
        &self.words
    }

    /// Whether neighbouring characters that are no words become one unknown token.
    pub fn fuses_unknown(&self) -> bool {
        self.options.fuse_unk && self.byte_words.contains(&None)
    }

    /// The pieces that `word` ends as, in order. Fails when the file's unk_token is needed and is no word.
    pub fn pieces(&self, word: &str) -> Result<Vec<Piece>, Error> {
        if self.options.ignore_merges {
            if let Some(id) = self.words.id(word.as_bytes()) {
                return Ok(vec![Piece { id, length: word.len(), prev: NONE, next: NONE }]);
            }
        }
        let mut pieces = self.characters(word)?;
        self.merge(&mut pieces);
        pieces.retain(|piece| piece.length != 0);
        Ok(pieces)
    }

    fn characters(&self, word: &str) -> Result<Vec<Piece>, Error> {
        let mut pieces = Vec::with_capacity(word.len());
        let mut unknown: Option<(u32, usize)> = None; // met, and not yet among the pieces
        for (start, c) in word.char_indices() {
            let end = start + c.len_utf8();
            let text = self.spelled(&word[start..end], start == 0, end == word.len());
            if let Some(id) = self.words.id(text.as_bytes()) {
                if let Some((id, length)) = unknown.take() {
                    push(&mut pieces, id, length);
                }
                push(&mut pieces, id, end - start);
                continue;
            }
            if self.options.byte_fallback && self.push_bytes(text.as_bytes(), &mut pieces) {
                continue; // `unknown` keeps waiting: `tokenizers` puts it after these bytes
            }
            let Some(unk_token) = &self.options.unk_token else {
                continue; // without a word for the unknown it vanishes
            };
            unknown = match unknown {
                Some((id, length)) if self.options.fuse_unk => Some((id, length + end - start)),
                before => {
                    if let Some((id, length)) = before {
                        push(&mut pieces, id, length);
                    }
                    let id = self.words.id(unk_token.as_bytes());
                    let id = id.ok_or_else(|| Error::UnkTokenOutOfVocabulary(unk_token.clone()))?;
                    Some((id, end - start))
                }
            };
        }
        if let Some((id, length)) = unknown {
            push(&mut pieces, id, length);
        }
        Ok(pieces)
    }

    /// A character as the vocabulary spells it at its place in the word.
    fn spelled<'a>(&self, character: &'a str, is_first: bool, is_last: bool) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(character);
        if let (false, Some(prefix)) = (is_first, &self.options.continuing_subword_prefix) {
            text = format!("{prefix}{text}").into();
        }
        if let (true, Some(suffix)) = (is_last, &self.options.end_of_word_suffix) {
            text = format!("{text}{suffix}").into();
        }
        text
    }

    /// False, and nothing pushed, unless each byte has its word.
    fn push_bytes(&self, text: &[u8], pieces: &mut Vec<Piece>) -> bool {
        let word = |&byte: &u8| self.byte_words[usize::from(byte)];
        if !text.iter().all(|byte| word(byte).is_some()) {
            return false;
        }
        for id in text.iter().filter_map(word) {
            push(pieces, id, 1);
        }
        true
    }

    /// Joins neighbours, the lowest rank first and the leftmost of equals; what was joined has length 0.
    /// Unlike merge.rs this goes by ids, and takes a candidate for stale by `tokenizers`' rule: when the
    /// pair that now begins there becomes something else.
    fn merge(&self, pieces: &mut [Piece]) {
        // (rank, position, merged): Reverse makes the heap's top the smallest.
        let candidate = |pieces: &[Piece], left: usize, right: usize| {
            let (rank, merged) = self.merges.find(pieces[left].id, pieces[right].id)?;
            Some(Reverse((rank, left, merged)))
        };
        let mut candidates: BinaryHeap<_> =
            (1..pieces.len()).filter_map(|right| candidate(pieces, right - 1, right)).collect();
        while let Some(Reverse((_, left, merged))) = candidates.pop() {
            let right = pieces[left].next;
            if pieces[left].length == 0 || right == NONE {
                continue;
            }
            let now = self.merges.find(pieces[left].id, pieces[right].id);
            if now.is_none_or(|(_, becomes)| becomes != merged) {
                continue;
            }
            let after = pieces[right].next;
            pieces[left].id = merged;
            pieces[left].length += pieces[right].length;
            pieces[left].next = after;
            pieces[right].length = 0;
            let before = pieces[left].prev;
            if before != NONE {
                candidates.extend(candidate(pieces, before, left));
            }
            if after != NONE {
                pieces[after].prev = left;
                candidates.extend(candidate(pieces, left, after));
            }
        }
    }
}
