//! tokenizer.json through Hugging Face's `tokenizers`, except for decoding: that is done here token by
//! token, as bytes, so that text can be streamed and still equal the decoding of the whole.

use std::ops::Range;
use std::sync::OnceLock;

use serde_json::Value;
use tokenizers::{
    AddedToken, DecoderWrapper, Encoding, Model as _, NormalizerWrapper, OffsetReferential,
    OffsetType, PostProcessorWrapper, PreTokenizer, PreTokenizerWrapper, Token,
};

use crate::added::{AddedTokens, Untrusted};
use crate::byte_level;
use crate::cuts::{Cuts, PART};
use crate::failure::{Failure, Result};
use crate::growth::{check_decoder, Growth};
use crate::model::Model;
use crate::trust::{within, Special};
use crate::vocabulary::byte_of;

type Tokenizer = tokenizers::TokenizerImpl<
    Model,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

pub struct HuggingFaceTokenizer {
    tokenizer: Tokenizer,
    added: AddedTokens,
    cuts: OnceLock<Cuts>,
    decoder: Decoder,
    growth: Growth,
    vocab_size: usize,
}

/// A token that stands in a file beside tokenizer.json.
pub struct BesideToken {
    pub token: AddedToken,
    /// Only for tokens that tokenizer.json does not list as added.
    pub only_if_new: bool,
}

impl HuggingFaceTokenizer {
    pub fn open(json: &[u8], beside: Vec<BesideToken>) -> Result<HuggingFaceTokenizer> {
        let mut tokenizer: Tokenizer = serde_json::from_slice(json)
            .map_err(|e| Failure::BadModel(format!("not a tokenizer: {e}")))?;
        // What the file says here is for training batches; a prompt is never cut or filled up.
        tokenizer
            .with_truncation(None)
            .map_err(|e| Failure::Internal(e.to_string()))?
            .with_padding(None);
        add_tokens(&mut tokenizer, beside)?;
        let decoder = part_of(tokenizer.get_decoder())?;
        check_decoder(&decoder)?;
        let growth = Growth::new(
            &part_of(tokenizer.get_normalizer())?,
            &part_of(tokenizer.get_pre_tokenizer())?,
            &part_of(tokenizer.get_post_processor())?,
        )?;
        let added = tokenizer.get_added_tokens_decoder();
        let added = AddedTokens::new(added, tokenizer.get_normalizer())
            .map_err(|e| Failure::BadModel(format!("added tokens: {e}")))?;
        Ok(HuggingFaceTokenizer {
            decoder: Decoder::new(&decoder)?,
            vocab_size: count_ids(&tokenizer, &added)?,
            added,
            cuts: OnceLock::new(),
            growth,
            tokenizer,
        })
    }

    pub fn encode(&self, text: &str, add_special: bool, special: Special) -> Result<Vec<i32>> {
        self.growth.check_text(text)?;
        let ids = self.ids(text, add_special, special);
        ids.map_err(|e| Failure::BadRequest(format!("the text cannot be tokenized: {e}")))
    }

    /// As the tokenizer's own encode_fast, but for whose special tokens count, and in parts.
    fn ids(&self, text: &str, add_special: bool, special: Special) -> tokenizers::Result<Vec<i32>> {
        let parts = self.parts(text);
        let (mut ids, is_safe) = self.ids_of_parts(text, &parts, special, Untrusted::Whole)?;
        if !is_safe {
            (ids, _) = self.ids_of_parts(text, &parts, special, Untrusted::Broken)?;
        }
        if add_special {
            ids = self.with_special(ids)?;
        }
        Ok(ids)
    }

    fn parts(&self, text: &str) -> Vec<Range<usize>> {
        let is_long = text.len() > PART;
        let cuts =
            if is_long { *self.cuts.get_or_init(|| self.find_cuts()) } else { Cuts::default() };
        cuts.parts(text)
    }

    fn find_cuts(&self) -> Cuts {
        let Model::Bpe(bpe) = self.tokenizer.get_model() else { return Cuts::default() };
        if bpe.fuses_unknown() {
            return Cuts::default();
        }
        let words = bpe.words().iter().map(|(word, _)| word);
        Cuts::new(words, self.added.tokens(), |text| {
            let (encoding, _) = self.encoding(text, Special::Anywhere, Untrusted::Whole).ok()?;
            Some(encoding.get_ids().to_vec())
        })
    }

    /// With the special tokens that the tokenizer puts around a text.
    fn with_special(&self, ids: Vec<i32>) -> tokenizers::Result<Vec<i32>> {
        const TEXT: u32 = u32::MAX;
        let text = Encoding::from_tokens(vec![Token::new(TEXT, String::new(), (0, 0))], 0);
        let around = self.tokenizer.post_process(text, None, true)?;
        let mut all = Vec::with_capacity(ids.len() + around.len());
        for &id in around.get_ids() {
            match id {
                TEXT => all.extend_from_slice(&ids),
                special => all.push(special as i32),
            }
        }
        Ok(all)
    }

    /// Also whether encoding() found each part safe.
    fn ids_of_parts(
        &self,
        text: &str,
        parts: &[Range<usize>],
        special: Special,
        untrusted: Untrusted,
    ) -> tokenizers::Result<(Vec<i32>, bool)> {
        let mut ids = Vec::with_capacity(text.len() / 4 + 2);
        let mut all_safe = true;
        for part in parts {
            let trusted;
            let special = match special {
                Special::Within(ranges) => {
                    trusted = within(ranges, part);
                    Special::Within(&trusted)
                }
                everywhere => everywhere,
            };
            let (encoding, is_safe) = self.encoding(&text[part.clone()], special, untrusted)?;
            ids.extend(encoding.get_ids().iter().map(|&id| id as i32));
            all_safe &= is_safe;
        }
        Ok((ids, all_safe))
    }

    /// Also whether no guarded token came from the model: some have their special tokens among the words
    /// that they make of text.
    fn encoding(
        &self,
        text: &str,
        special: Special,
        untrusted: Untrusted,
    ) -> tokenizers::Result<(Encoding, bool)> {
        let tokenizer = &self.tokenizer;
        let normalizer = tokenizer.get_normalizer();
        let mut pieces = self.added.split(text, normalizer, special, untrusted)?;
        let splits = pieces.get_splits(OffsetReferential::Original, OffsetType::None);
        let found = splits.iter().filter_map(|(_, _, tokens)| tokens.as_ref()).flatten();
        let n_found = self.added.count_guarded(found.map(|token| token.id));
        if let Some(pre_tokenizer) = tokenizer.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut pieces)?;
        }
        tokenizer.get_model().tokenize_in_pretokenized(&mut pieces, None)?;
        let encoding = pieces.into_encoding(None, 0, OffsetType::None)?;
        let is_within = matches!(special, Special::Within(_));
        let n_all = || self.added.count_guarded(encoding.get_ids().iter().copied());
        let is_safe = !is_within || n_all() == n_found;
        Ok((encoding, is_safe))
    }

    pub fn token_bytes(&self, id: u32, keep_special: bool) -> Vec<u8> {
        if !keep_special && self.is_special(id) {
            return Vec::new();
        }
        match self.added.get(id) {
            Some(token) => self.decoder.added_bytes(&token.content),
            None => {
                let token = self.tokenizer.id_to_token(id);
                token.map_or_else(Vec::new, |token| self.decoder.bytes(&token))
            }
        }
    }

    pub fn is_special(&self, id: u32) -> bool {
        self.added.get(id).is_some_and(|token| token.special)
    }

    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.tokenizer.token_to_id(text)
    }

    /// The largest id and one.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    pub fn guarded(&self) -> impl Iterator<Item = &str> {
        self.added.guarded()
    }

    pub fn drops_first_space(&self) -> bool {
        self.decoder.drops_first_space
    }
}

/// A part of the tokenizer as tokenizer.json has it.
fn part_of(part: Option<&impl serde::Serialize>) -> Result<Value> {
    serde_json::to_value(part).map_err(|e| Failure::Internal(e.to_string()))
}

fn add_tokens(tokenizer: &mut Tokenizer, beside: Vec<BesideToken>) -> Result<()> {
    let known = tokenizer.get_added_vocabulary().get_vocab().clone();
    let mut seen: std::collections::HashSet<String> = known.into_keys().collect();
    let mut new = Vec::with_capacity(beside.len());
    for BesideToken { token, only_if_new } in beside {
        if seen.insert(token.content.clone()) || !only_if_new {
            new.push(token);
        }
    }
    if !new.is_empty() {
        let added = tokenizer.add_tokens(new);
        added.map_err(|e| Failure::BadModel(format!("added tokens: {e}")))?;
    }
    Ok(())
}

/// The largest id and one. Fails for an id that is none here, where ids are 31 bits.
fn count_ids(tokenizer: &Tokenizer, added: &AddedTokens) -> Result<usize> {
    let largest = added.ids().chain(tokenizer.get_model().largest_id()).max();
    let Some(largest) = largest else { return Ok(0) };
    if i32::try_from(largest).is_err() {
        let token = tokenizer.id_to_token(largest).unwrap_or_default();
        let message = format!("token {token:?} has the id {largest}, at most {} is one", i32::MAX);
        return Err(Failure::BadModel(message));
    }
    Ok(largest as usize + 1)
}

/// What the decoders of tokenizer.json that language models use do to one token.
#[derive(Debug, Default, PartialEq)]
struct Decoder {
    steps: Vec<Step>,
    drops_first_space: bool,
    space_between: bool, // no decoder at all: `tokenizers` joins with spaces
}

#[derive(Debug, PartialEq)]
enum Step {
    ByteLevel,
    ByteFallback,
    Replace { from: String, to: String },
}

impl Decoder {
    fn new(json: &Value) -> Result<Decoder> {
        let mut decoder = Decoder::default();
        let list = match json["type"].as_str() {
            None => {
                decoder.space_between = true;
                decoder.drops_first_space = true;
                return Ok(decoder);
            }
            Some("Sequence") => json["decoders"].as_array().map_or(&[][..], Vec::as_slice),
            Some(_) => std::slice::from_ref(json),
        };
        let mut fused = false;
        for item in list {
            let kind = item["type"].as_str().unwrap_or_default();
            match kind {
                "ByteLevel" => decoder.steps.push(Step::ByteLevel),
                "ByteFallback" => decoder.steps.push(Step::ByteFallback),
                "Fuse" => fused = true,
                "Replace" if item["pattern"]["String"].is_string() => {
                    decoder.steps.push(replace(&item["pattern"]["String"], &item["content"]));
                }
                "Metaspace" => {
                    decoder.steps.push(replace(&item["replacement"], &" ".into()));
                    decoder.drops_first_space = item["prepend_scheme"] != "never";
                }
                // Before Fuse, Strip would cut every token.
                "Strip" if fused && item["content"] == " " && item["stop"] == 0 => {
                    decoder.drops_first_space = item["start"].as_u64().unwrap_or(0) > 0;
                }
                _ => {
                    let message = format!("tokenizer.json: decoder {kind} is not supported here");
                    return Err(Failure::Unsupported(message));
                }
            }
        }
        Ok(decoder)
    }

    /// A word of the model's.
    fn bytes(&self, token: &str) -> Vec<u8> {
        self.decode(token, true)
    }

    /// An added token's text is no spelling of bytes: "č" is that letter, not the byte 0x0D.
    fn added_bytes(&self, content: &str) -> Vec<u8> {
        self.decode(content, false)
    }

    fn decode(&self, token: &str, spells_bytes: bool) -> Vec<u8> {
        if self.space_between {
            return format!(" {token}").into_bytes();
        }
        let mut text = token.to_string();
        for step in &self.steps {
            match step {
                Step::ByteLevel if spells_bytes => return byte_level::decode(text.as_bytes()),
                Step::ByteLevel => {}
                Step::ByteFallback => {
                    if let Some(byte) = byte_of(text.as_bytes()) {
                        return vec![byte];
                    }
                }
                Step::Replace { from, to } => text = text.replace(from.as_str(), to),
            }
        }
        text.into_bytes()
    }
}

fn replace(from: &Value, to: &Value) -> Step {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    Step::Replace { from: text(from), to: text(to) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sentencepiece_decoders_are_read_step_by_step() {
        let decoder = Decoder::new(&json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}))
        .unwrap();
        assert!(decoder.drops_first_space);
        assert_eq!(decoder.bytes("▁Hi▁"), b" Hi ");
        assert_eq!(decoder.bytes("<0xE2>"), [0xE2]);
        assert_eq!(decoder.bytes("<0xE2"), b"<0xE2");
    }

    const BYTES: &str = r#"{"a": 0, "b": 1, "ab": 2, "č": 3, "aj": 4, "a<": 5}"#;

    fn open(added: &str, beside: Vec<BesideToken>) -> Result<HuggingFaceTokenizer> {
        let json = format!(
            r#"{{"version": "1.0", "added_tokens": [{added}], "decoder": {{"type": "ByteLevel",
            "add_prefix_space": false, "trim_offsets": false, "use_regex": false}},
            "model": {{"type": "BPE", "vocab": {BYTES}, "merges": ["a b"]}}}}"#
        );
        HuggingFaceTokenizer::open(json.as_bytes(), beside)
    }

    fn token(content: &str, special: bool) -> AddedToken {
        AddedToken::from(content, special).normalized(false)
    }

    fn listed(id: u32, content: &str, special: bool) -> String {
        let mut listed = serde_json::to_value(token(content, special)).unwrap();
        listed["id"] = id.into();
        listed.to_string()
    }

    #[test]
    fn added_tokens_are_their_own_bytes() {
        let tokenizer = open(&listed(6, "čaj", false), vec![]).unwrap();
        assert_eq!(tokenizer.token_bytes(6, false), "čaj".as_bytes());
        assert_eq!(tokenizer.token_bytes(3, false), b"\r"); // the model's word for that byte
        assert_eq!(tokenizer.vocab_size(), 7);
    }

    #[test]
    fn special_tokens_count_where_the_text_is_trusted() {
        let tokenizer =
            open(&format!("{},{}", listed(6, "<s>", true), listed(7, "<t>", false)), vec![]);
        let tokenizer = tokenizer.unwrap();
        let ids = |special| tokenizer.encode("ab<s>a<s><t>", false, special).unwrap();
        assert_eq!(ids(Special::Anywhere), [2, 6, 0, 6, 7]);
        assert_eq!(ids(Special::Nowhere), [2, 0, 7]); // the vocabulary has no words for <s>
        assert_eq!(ids(Special::Within(&[6..9])), [2, 0, 6, 7]);
        assert_eq!(ids(Special::Within(&[2..4, 6..8])), [2, 0, 7]);
    }

    #[test]
    fn a_model_whose_words_are_special_tokens_does_not_make_them_of_text() {
        let special = listed(3, "<s>", true);
        for model in [
            r#""type": "BPE", "vocab": {"<": 0, "s": 1, ">": 2, "<s>": 3, "s>": 4},
            "merges": ["s >", "< s>"]"#,
            r#""type": "Unigram", "unk_id": 0,
            "vocab": [["<", -9.0], ["s", -9.0], [">", -9.0], ["<s>", 0.0], ["s>", -1.0]]"#,
        ] {
            let json = format!(r#"{{"added_tokens": [{special}], "model": {{{model}}}}}"#);
            let tokenizer = HuggingFaceTokenizer::open(json.as_bytes(), vec![]).unwrap();
            let ids = |text, trusted: &[_]| {
                tokenizer.encode(text, false, Special::Within(trusted)).unwrap()
            };
            assert_eq!(ids("s<s>", &[]), [1, 0, 4], "{model}");
            assert_eq!(ids("<s><s>", &[3..6]), [0, 4, 3], "{model}");
        }
    }

    #[test]
    fn a_long_text_in_parts_has_the_tokens_of_the_whole() {
        let bos = listed(6, "<s>", true);
        let template = r#"{"type": "TemplateProcessing", "pair": [], "special_tokens":
            {"<s>": {"id": "<s>", "ids": [6], "tokens": ["<s>"]}},
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}"#;
        let vocab = r#"{"a": 0, "b": 1, "ab": 2, " ": 3, "\n": 4, "ba": 5}"#;
        let json = format!(
            r#"{{"added_tokens": [{bos}], "post_processor": {template},
            "model": {{"type": "BPE", "vocab": {vocab}, "merges": ["a b", "b a"]}}}}"#
        );
        let tokenizer = HuggingFaceTokenizer::open(json.as_bytes(), vec![]).unwrap();
        let text = "ab ba<s>aba\nbab ".repeat(PART / 4);
        let trusted =
            [5..8, 5 + 16 * (PART / 8)..8 + 16 * (PART / 8), text.len() - 11..text.len() - 8];
        for special in [Special::Anywhere, Special::Nowhere, Special::Within(&trusted)] {
            let whole = [0..text.len()];
            let parts = tokenizer.parts(&text);
            assert!(parts.len() > 3);
            let of =
                |parts| tokenizer.ids_of_parts(&text, parts, special, Untrusted::Whole).unwrap();
            assert_eq!(of(&parts), of(&whole));
            let ids = tokenizer.encode(&text, true, special).unwrap();
            assert_eq!((ids[0], &ids[1..]), (6, &of(&whole).0[..]));
        }
    }

    #[test]
    fn tokens_of_the_files_beside_are_added() {
        let beside =
            |content, only_if_new| BesideToken { token: token(content, true), only_if_new };
        let both = vec![beside("<x>", true), beside("<t>", true), beside("ab", false)];
        let tokenizer = open(&listed(6, "<t>", false), both).unwrap();
        assert_eq!(tokenizer.encode("<x><t>ab", false, Special::Anywhere).unwrap(), [7, 6, 2]);
        assert_eq!((tokenizer.is_special(7), tokenizer.is_special(6)), (true, false));
        assert_eq!(tokenizer.token_bytes(7, true), b"<x>");
        assert!(tokenizer.token_bytes(2, false).is_empty()); // a word of the model, now special
    }

    #[test]
    fn an_id_that_is_none_is_refused() {
        let json =
            br#"{"model": {"type": "BPE", "vocab": {"a": 3000000000, "b": 1}, "merges": []}}"#;
        let failure = HuggingFaceTokenizer::open(json, vec![]).err().unwrap().to_string();
        assert!(failure.contains("token \"a\" has the id 3000000000"), "{failure}");
    }

    #[test]
    fn an_unknown_decoder_is_unsupported() {
        let failure = Decoder::new(&json!({"type": "CTC"})).unwrap_err();
        assert!(matches!(failure, Failure::Unsupported(_)));
    }
}
