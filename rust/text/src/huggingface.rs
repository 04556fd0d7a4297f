//! tokenizer.json through Hugging Face's `tokenizers`, except for decoding: that is done here token by
//! token, as bytes, so that text can be streamed and still equal the decoding of the whole.

use std::sync::RwLock;

use serde_json::Value;
use tokenizers::{DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};

use crate::byte_level;
use crate::failure::{Failure, Result};
use crate::model::Model;
use crate::vocabulary::byte_of;

type Tokenizer = tokenizers::TokenizerImpl<
    Model,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

pub struct HuggingFaceTokenizer {
    /// Locked for writing only while text is encoded with its special tokens as plain text, which
    /// `tokenizers` keeps as a setting of the tokenizer.
    tokenizer: RwLock<Tokenizer>,
    decoder: Decoder,
}

impl HuggingFaceTokenizer {
    pub fn open(json: &[u8]) -> Result<HuggingFaceTokenizer> {
        let mut tokenizer: Tokenizer = serde_json::from_slice(json)
            .map_err(|e| Failure::BadModel(format!("not a tokenizer: {e}")))?;
        // What the file says here is for training batches; a prompt is never cut or filled up.
        tokenizer
            .with_truncation(None)
            .map_err(|e| Failure::Internal(e.to_string()))?
            .with_padding(None);
        let decoder = match tokenizer.get_decoder() {
            None => Value::Null,
            Some(d) => serde_json::to_value(d).map_err(|e| Failure::Internal(e.to_string()))?,
        };
        Ok(HuggingFaceTokenizer {
            decoder: Decoder::new(&decoder)?,
            tokenizer: RwLock::new(tokenizer),
        })
    }

    pub fn encode(&self, text: &str, add_special: bool, parse_special: bool) -> Result<Vec<i32>> {
        let encoding = if parse_special {
            self.read().encode_fast(text, add_special)
        } else {
            let mut tokenizer = self.tokenizer.write().unwrap_or_else(|e| e.into_inner());
            tokenizer.set_encode_special_tokens(true);
            let encoding = tokenizer.encode_fast(text, add_special);
            tokenizer.set_encode_special_tokens(false);
            encoding
        };
        let encoding = encoding
            .map_err(|e| Failure::BadRequest(format!("the text cannot be tokenized: {e}")))?;
        Ok(encoding.get_ids().iter().map(|&id| id as i32).collect())
    }

    pub fn token_bytes(&self, id: u32, keep_special: bool) -> Vec<u8> {
        let tokenizer = self.read();
        let Some(token) = tokenizer.id_to_token(id) else {
            return Vec::new();
        };
        if !keep_special && tokenizer.get_added_vocabulary().is_special_token(&token) {
            return Vec::new();
        }
        self.decoder.bytes(&token)
    }

    pub fn token_id(&self, text: &str) -> Option<u32> {
        self.read().token_to_id(text)
    }

    pub fn vocab_size(&self) -> usize {
        self.read().get_vocab_size(true)
    }

    pub fn drops_first_space(&self) -> bool {
        self.decoder.drops_first_space
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Tokenizer> {
        // A panic while the setting was changed leaves a tokenizer that still works.
        self.tokenizer.read().unwrap_or_else(|e| e.into_inner())
    }
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

    fn bytes(&self, token: &str) -> Vec<u8> {
        if self.space_between {
            return format!(" {token}").into_bytes();
        }
        let mut text = token.to_string();
        for step in &self.steps {
            match step {
                Step::ByteLevel => return byte_level::decode(text.as_bytes()),
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

    #[test]
    fn an_unknown_decoder_is_unsupported() {
        let failure = Decoder::new(&json!({"type": "CTC"})).unwrap_err();
        assert!(matches!(failure, Failure::Unsupported(_)));
    }
}
