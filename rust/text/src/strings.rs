//! A GGUF string array left where it is, in the mapped file, and a hash index over such texts.
//!
//! Opening a vocabulary of 262,144 strings allocates 4 bytes a string for offsets and about 5 for the
//! index. The file can change under us (a truncated mapping reads as zeros), so lengths are read once,
//! at open, and bytes are never assumed to be UTF-8.

use ahash::RandomState;
use hashbrown::hash_table::Entry;
use hashbrown::HashTable;

use crate::failure::{Failure, Result};

const LENGTH_BYTES: usize = 8; // a GGUF string is a u64 length, then that many bytes

pub struct Strings {
    bytes: &'static [u8],
    /// Where each string's length lies; one more for the end.
    offsets: Vec<u32>,
}

impl Strings {
    /// `what` names the key in errors.
    pub fn parse(bytes: &'static [u8], count: u64, what: &str) -> Result<Strings> {
        if u32::try_from(bytes.len()).is_err() || count > (bytes.len() / LENGTH_BYTES) as u64 {
            return Err(Failure::BadModel(format!(
                "{what}: {count} strings do not fit {} bytes",
                bytes.len()
            )));
        }
        let mut offsets = Vec::with_capacity(count as usize + 1);
        let mut at = 0usize;
        for i in 0..count {
            offsets.push(at as u32);
            let length = bytes
                .get(at..at + LENGTH_BYTES)
                .map(|b| u64::from_le_bytes(b.try_into().expect("eight bytes")));
            let end = length.and_then(|n| (at as u64 + LENGTH_BYTES as u64).checked_add(n));
            at = match end {
                Some(end) if end <= bytes.len() as u64 => end as usize,
                _ => return Err(Failure::BadModel(format!("{what}: string {i} leaves the file"))),
            };
        }
        offsets.push(at as u32);
        Ok(Strings { bytes, offsets })
    }

    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn get(&self, i: usize) -> &'static [u8] {
        &self.bytes[self.offsets[i] as usize + LENGTH_BYTES..self.offsets[i + 1] as usize]
    }
}

/// Texts by their position, for an `Index` over them.
pub trait Texts {
    fn len(&self) -> usize;
    fn get(&self, i: usize) -> &[u8];
}

impl Texts for Strings {
    fn len(&self) -> usize {
        self.len()
    }

    fn get(&self, i: usize) -> &[u8] {
        self.get(i)
    }
}

/// Which of several equal strings an index finds.
#[derive(Clone, Copy, PartialEq)]
pub enum Duplicates {
    FirstWins,
    LastWins,
}

/// String to position. The hash is seeded at random: a hostile vocabulary cannot make it collide.
pub struct Index {
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Index {
    pub fn new(strings: &impl Texts, duplicates: Duplicates) -> Index {
        let hasher = RandomState::new();
        let mut table = HashTable::with_capacity(strings.len());
        for i in 0..strings.len() {
            let text = strings.get(i);
            let slot = table.entry(
                hasher.hash_one(text),
                |&other: &u32| strings.get(other as usize) == text,
                |&other| hasher.hash_one(strings.get(other as usize)),
            );
            match slot {
                Entry::Vacant(vacant) => {
                    vacant.insert(i as u32);
                }
                Entry::Occupied(mut occupied) => {
                    if duplicates == Duplicates::LastWins {
                        *occupied.get_mut() = i as u32;
                    }
                }
            }
        }
        Index { table, hasher }
    }

    /// How many different texts there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn find(&self, strings: &impl Texts, text: &[u8]) -> Option<u32> {
        let equal = |&i: &u32| strings.get(i as usize) == text;
        self.table.find(self.hasher.hash_one(text), equal).copied()
    }
}

#[cfg(test)]
pub fn leak(words: &[&str]) -> &'static [u8] {
    let mut bytes = Vec::new();
    for word in words {
        bytes.extend((word.len() as u64).to_le_bytes());
        bytes.extend(word.as_bytes());
    }
    bytes.leak()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_where_they_lie() {
        let strings = Strings::parse(leak(&["a", "", "bc", "a"]), 4, "tokens").unwrap();
        assert_eq!(strings.get(1), b"");
        assert_eq!(strings.get(2), b"bc");
        let last = Index::new(&strings, Duplicates::LastWins);
        assert_eq!(last.find(&strings, b"a"), Some(3));
        assert_eq!(last.find(&strings, b"b"), None);
        let first = Index::new(&strings, Duplicates::FirstWins);
        assert_eq!(first.find(&strings, b"a"), Some(0));
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused() {
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        bytes.push(b'a');
        assert!(Strings::parse(bytes.clone().leak(), 1, "tokens").is_err());
        assert!(Strings::parse(bytes.leak(), u64::MAX, "tokens").is_err());
        assert!(Strings::parse(leak(&["ab"]), 2, "tokens").is_err());
    }
}
