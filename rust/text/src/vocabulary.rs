//! The tokens of a GGUF file: texts and scores where they lie in the mapped file, types in memory.

use crate::failure::{Failure, Result};
use crate::strings::{Duplicates, Index, Strings};

/// tokenizer.ggml.token_type's numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub enum TokenType {
    Undefined = 0,
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

impl From<i32> for TokenType {
    fn from(number: i32) -> TokenType {
        match number {
            1 => TokenType::Normal,
            2 => TokenType::Unknown,
            3 => TokenType::Control,
            4 => TokenType::UserDefined,
            5 => TokenType::Unused,
            6 => TokenType::Byte,
            _ => TokenType::Undefined,
        }
    }
}

pub struct Vocabulary {
    strings: Strings,
    index: Index,
    types: Vec<TokenType>,
    scores: &'static [u8], // float32 each, unaligned; empty when the file has none
    longest: usize,
    /// The token "<0xNN>" for each byte.
    byte_tokens: [Option<u32>; 256],
}

fn i32_at(bytes: &[u8], i: usize) -> i32 {
    let four: [u8; 4] = bytes[4 * i..4 * i + 4].try_into().expect("four bytes");
    i32::from_le_bytes(four)
}

impl Vocabulary {
    /// `types` (int32) and `scores` (float32) hold one number per token, or nothing.
    pub fn new(
        tokens: &'static [u8],
        count: u64,
        types: &'static [u8],
        scores: &'static [u8],
    ) -> Result<Vocabulary> {
        let strings = Strings::parse(tokens, count, "tokenizer.ggml.tokens")?;
        let n = strings.len();
        if n > i32::MAX as usize {
            let message = format!("tokenizer.ggml.tokens: {n} tokens, more than an id can count");
            return Err(Failure::Unsupported(message));
        }
        for (bytes, key) in [(types, "token_type"), (scores, "scores")] {
            if !bytes.is_empty() && bytes.len() != 4 * n {
                let got = bytes.len() / 4;
                let message = format!("tokenizer.ggml.{key} has {got} entries for {n} tokens");
                return Err(Failure::BadModel(message));
            }
        }
        let token_type = |i| match types {
            [] => TokenType::Normal,
            _ => TokenType::from(i32_at(types, i)),
        };
        let index = Index::new(&strings, Duplicates::LastWins);
        let longest = (0..n).map(|i| strings.get(i).len()).max().unwrap_or(0);
        let byte_token = |byte: usize| index.find(&strings, format!("<0x{byte:02X}>").as_bytes());
        Ok(Vocabulary {
            byte_tokens: std::array::from_fn(byte_token),
            types: (0..n).map(token_type).collect(),
            scores,
            longest,
            index,
            strings,
        })
    }

    pub fn len(&self) -> usize {
        self.strings.len()
    }

    pub fn text(&self, id: u32) -> &'static [u8] {
        self.strings.get(id as usize)
    }

    pub fn token_type(&self, id: u32) -> TokenType {
        self.types[id as usize]
    }

    pub fn set_control(&mut self, id: u32) {
        self.types[id as usize] = TokenType::Control;
    }

    pub fn score(&self, id: u32) -> f32 {
        f32::from_bits(i32_at(self.scores, id as usize) as u32)
    }

    pub fn find(&self, text: &[u8]) -> Option<u32> {
        if text.len() > self.longest {
            return None; // no need to hash it
        }
        self.index.find(&self.strings, text)
    }

    pub fn byte_token(&self, byte: u8) -> Option<u32> {
        self.byte_tokens[byte as usize]
    }
}

/// The byte that "<0xNN>" stands for.
pub fn byte_of(token: &[u8]) -> Option<u8> {
    let digits = token.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}
