//! Reads the words and merges of a tokenizer.json as a stream: none becomes a value of its own, only an
//! entry of what `Bpe` keeps. Strings are taken as bytes, and checked in our own copy: the file may change
//! under us.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tokenizers::models::bpe;

use crate::bpe::Merge;
use crate::words::{WordList, Words};

/// {"text": id, ...}
pub fn read_words(json: &RawValue) -> serde_json::Result<Words> {
    if u32::try_from(json.get().len()).is_err() {
        return Err(Error::custom("a vocabulary of more than 4 GiB"));
    }
    serde_json::Deserializer::from_slice(json.get().as_bytes())
        .deserialize_map(WordsVisitor)
        .map(Words::new)
}

/// ["left right", ...] or [["left", "right"], ...], not both. A merged word is the left one and the right
/// one less its first `prefix_length` bytes, the continuing_subword_prefix.
pub fn read_merges(
    json: &RawValue,
    words: &Words,
    prefix_length: usize,
) -> serde_json::Result<Vec<Merge>> {
    let reader = MergeReader { words, prefix_length, form: None, text: Vec::new() };
    let mut merges = serde_json::Deserializer::from_slice(json.get().as_bytes())
        .deserialize_seq(MergesVisitor(reader))?;
    merges.shrink_to_fit();
    Ok(merges)
}

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = WordList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of words to ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WordList, A::Error> {
        let mut list = WordList::default();
        while map.next_key_seed(Text(|text: &[u8]| list.push_text(text)))?.is_some() {
            list.push_id(map.next_value()?);
        }
        if !list.is_utf8() {
            return Err(A::Error::custom("a vocabulary that is not Unicode"));
        }
        Ok(list)
    }
}

/// Hands a string on without keeping it.
struct Text<F>(F);

impl<'de, F: FnOnce(&[u8])> DeserializeSeed<'de> for Text<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<F: FnOnce(&[u8])> Visitor<'_> for Text<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<(), E> {
        self.0(text);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Line,
    Pair,
}

struct MergeReader<'w> {
    words: &'w Words,
    prefix_length: usize,
    form: Option<Form>,
    text: Vec<u8>, // the merge at hand: left and right
}

impl MergeReader<'_> {
    fn set_form<E: Error>(&mut self, form: Form) -> Result<(), E> {
        if *self.form.get_or_insert(form) != form {
            return Err(E::custom("merges are strings or pairs, not both"));
        }
        Ok(())
    }

    fn id<E: Error>(&self, word: &[u8]) -> Result<u32, E> {
        self.words.id(word).ok_or_else(|| {
            let word = String::from_utf8_lossy(word).into();
            E::custom(bpe::Error::MergeTokenOutOfVocabulary(word))
        })
    }

    /// The merge whose left word is `text` up to `middle`.
    fn merge<E: Error>(&mut self, middle: usize) -> Result<Merge, E> {
        let (left, right) = (self.id(&self.text[..middle])?, self.id(&self.text[middle..])?);
        if self.text.len() - middle < self.prefix_length {
            return Err(E::custom(
                "a merge's second word is shorter than continuing_subword_prefix",
            ));
        }
        self.text.drain(middle..middle + self.prefix_length);
        Ok(Merge { left, right, merged: self.id(&self.text)? })
    }
}

struct MergesVisitor<'w>(MergeReader<'w>);

impl<'de> Visitor<'de> for MergesVisitor<'_> {
    type Value = Vec<Merge>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of merges")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Vec<Merge>, A::Error> {
        let mut merges = Vec::new();
        while let Some(merge) = seq.next_element_seed(OneMerge(&mut self.0, merges.len()))? {
            merges.extend(merge);
        }
        Ok(merges)
    }
}

/// One merge and how many came before it; None for the "#version" line of a merges.txt.
struct OneMerge<'r, 'w>(&'r mut MergeReader<'w>, usize);

impl<'de> DeserializeSeed<'de> for OneMerge<'_, '_> {
    type Value = Option<Merge>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self) // a string, or a list
    }
}

impl<'de> Visitor<'de> for OneMerge<'_, '_> {
    type Value = Option<Merge>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a merge")
    }

    fn visit_bytes<E: Error>(self, line: &[u8]) -> Result<Self::Value, E> {
        let OneMerge(reader, before) = self;
        reader.set_form(Form::Line)?;
        if line.starts_with(b"#version") {
            return Ok(None);
        }
        let mut parts = line.split(|&byte| byte == b' ');
        let (Some(left), Some(right), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(E::custom(bpe::Error::BadMerges(before + 1)));
        };
        reader.text.clear();
        reader.text.extend(left);
        reader.text.extend(right);
        reader.merge(left.len()).map(Some)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let OneMerge(reader, _) = self;
        reader.set_form(Form::Pair)?;
        let text = &mut reader.text;
        text.clear();
        let left = seq.next_element_seed(Text(|word: &[u8]| text.extend(word)))?;
        let middle = text.len();
        let right = seq.next_element_seed(Text(|word: &[u8]| text.extend(word)))?;
        if left.is_none() || right.is_none() || seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::custom("a merge is not of two words"));
        }
        reader.merge(middle).map(Some)
    }
}
