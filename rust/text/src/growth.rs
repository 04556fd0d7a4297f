//! How much longer the parts of a tokenizer.json may make a text. One that doubles a letter is harmless and
//! forty of them make a terabyte of it, so what a file can do is computed when it is opened.

use serde_json::Value;

use crate::failure::{Failure, Result};

/// Bytes of what a byte may become. Usual files have up to 36, those with a Precompiled normalizer 864.
const MOST: f64 = 1024.0;
/// Bytes that a text may become.
const MOST_BYTES: f64 = (1u64 << 30) as f64;
/// Tokens around a text.
const MOST_AROUND: usize = 1000;

/// The factor, 1 at least. Unicode's normalization forms and lower case count as none: repeated, they do no more.
pub struct Growth(f64);

impl Growth {
    /// Each as its part of tokenizer.json.
    pub fn new(
        normalizer: &Value,
        pre_tokenizer: &Value,
        post_processor: &Value,
    ) -> Result<Growth> {
        let growth = factor(normalizer) * factor(pre_tokenizer) * factor(post_processor);
        check(growth, "the tokenizer")?;
        if around(post_processor) > MOST_AROUND {
            let message =
                format!("the post_processor adds more than {MOST_AROUND} tokens to a text");
            return Err(Failure::BadModel(message));
        }
        Ok(Growth(growth))
    }

    pub fn check_text(&self, text: &str) -> Result<()> {
        if text.len() as f64 * self.0 <= MOST_BYTES {
            return Ok(());
        }
        let (bytes, most) = (text.len(), (MOST_BYTES / self.0) as usize);
        let message = format!("the text has {bytes} bytes, this tokenizer takes {most} at once");
        Err(Failure::BadRequest(message))
    }
}

/// Of a decoder, for one token.
pub fn check_decoder(decoder: &Value) -> Result<()> {
    check(factor(decoder), "the decoder")
}

fn check(growth: f64, what: &str) -> Result<()> {
    if growth <= MOST {
        return Ok(());
    }
    let message = format!("{what} makes texts up to {growth:.0} times longer, {MOST} is the most");
    Err(Failure::BadModel(message))
}

fn factor(part: &Value) -> f64 {
    let bytes = |name: &str| part[name].as_str().unwrap_or_default().len() as f64;
    let factor = match part["type"].as_str().unwrap_or_default() {
        "Sequence" => members(part).map(factor).product(),
        "Replace" => match part["pattern"]["String"].as_str() {
            Some(from) if !from.is_empty() => (bytes("content") / from.len() as f64).ceil(),
            _ => bytes("content") + 1.0, // may match nothing, and so between all characters
        },
        "Prepend" => bytes("prepend") + 1.0,
        "Precompiled" => longest_replacement(part["precompiled_charsmap"].as_str()) as f64,
        "Metaspace" => 2.0 * bytes("replacement"), // for a space, and before a word
        "ByteLevel" => 2.0,
        "TemplateProcessing" => pieces(part, "Sequence").count() as f64,
        _ => 1.0,
    };
    factor.max(1.0)
}

/// Tokens that a post-processor puts around a text.
fn around(part: &Value) -> usize {
    let ids = |piece: &Value| {
        let token = &part["special_tokens"][piece["id"].as_str().unwrap_or_default()];
        token["ids"].as_array().map_or(0, Vec::len)
    };
    let own: usize = pieces(part, "SpecialToken").map(ids).sum();
    own + members(part).map(around).sum::<usize>()
}

/// Of a Sequence of any kind.
fn members(part: &Value) -> impl Iterator<Item = &Value> {
    let names = ["normalizers", "pretokenizers", "processors", "decoders"];
    names.into_iter().filter_map(|name| part[name].as_array()).flatten()
}

/// Of a TemplateProcessing.
fn pieces<'v>(part: &'v Value, kind: &'static str) -> impl Iterator<Item = &'v Value> {
    part["single"].as_array().into_iter().flatten().filter_map(move |piece| piece.get(kind))
}

/// Bytes of the longest text that a character becomes. The map, in base64, is the length of a trie in 4
/// bytes, the trie, and texts that end with a zero (SentencePiece's src/normalizer.cc).
fn longest_replacement(charsmap: Option<&str>) -> usize {
    let map = from_base64(charsmap.unwrap_or_default());
    let Some((length, rest)) = map.split_first_chunk::<4>() else { return 1 };
    let texts = rest.get(u32::from_le_bytes(*length) as usize..).unwrap_or(rest);
    texts.split(|&byte| byte == 0).map(<[u8]>::len).max().unwrap_or(1)
}

fn from_base64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut n_bits) = (Vec::with_capacity(text.len()), 0u32, 0);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        n_bits += 6;
        if n_bits >= 8 {
            n_bits -= 8;
            bytes.push((bits >> n_bits) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn replace(from: &str, to: &str) -> Value {
        json!({"type": "Replace", "pattern": {"String": from}, "content": to})
    }

    #[test]
    fn usual_parts_make_little_more_of_a_text() {
        let llama = json!({"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"}, replace(" ", "▁"), {"type": "NFKC"},
        ]});
        let bytes = json!({"type": "Sequence", "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}]});
        let template = json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
            "special_tokens": {"<s>": {"ids": [1]}},
        });
        assert_eq!(Growth::new(&llama, &bytes, &template).unwrap().0, 24.0);
        assert_eq!(factor(&replace("``", "\"")), 1.0);
        assert_eq!(factor(&Value::Null), 1.0);
    }

    #[test]
    fn what_would_fill_memory_is_refused_before_a_text_comes() {
        let none = &Value::Null;
        let sequence = |name: &str, part: Value| json!({"type": "Sequence", name: vec![part; 40]});
        let doubling = sequence("normalizers", replace("a", "aa"));
        let letters = sequence("pretokenizers", json!({"type": "ByteLevel"}));
        let text = json!({"Sequence": {"id": "A"}});
        let twice = json!({"type": "TemplateProcessing", "single": [text, text]});
        let twice = sequence("processors", twice);
        let nothing =
            json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "a".repeat(2000)});
        let map = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA".repeat(2) + &"YWFh".repeat(500)});
        let many = json!({
            "type": "TemplateProcessing",
            "single": vec![json!({"SpecialToken": {"id": "<s>"}}); 101],
            "special_tokens": {"<s>": {"ids": vec![1; 10]}},
        });
        assert!(Growth::new(&doubling, none, none).is_err());
        assert!(Growth::new(&nothing, none, none).is_err());
        assert!(Growth::new(&map, none, none).is_err());
        assert!(Growth::new(none, &letters, none).is_err());
        assert!(Growth::new(none, none, &twice).is_err());
        assert!(Growth::new(none, none, &many).is_err());
        assert!(check_decoder(&sequence("decoders", replace("a", "aa"))).is_err());
    }

    #[test]
    fn a_text_is_refused_that_could_become_too_long() {
        let growth = Growth(512.0);
        assert!(growth.check_text(&"a".repeat(2 << 20)).is_ok());
        let refused = growth.check_text(&"a".repeat((2 << 20) + 1)).unwrap_err().to_string();
        assert!(refused.contains("takes 2097152 at once"), "{refused}");
    }
}
