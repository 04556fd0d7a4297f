//! A GGUF's vocabulary as the tokenizer.json that Hugging Face's `tokenizers` reads. Byte-level BPE has its merges in the
//! file; SentencePiece's are every way to put a piece together from two others, the best score first.

use serde_json::{json, Map, Value};

use crate::failure::{Failure, Result};
use crate::gguf::{GgufTokenizer, Model, SPACE_MARK};
use crate::vocabulary::TokenType;

impl GgufTokenizer {
    /// Fails for what a tokenizer.json cannot say.
    pub fn to_json(&self) -> Result<String> {
        let json = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added_tokens(),
            "normalizer": self.normalizer(),
            "pre_tokenizer": self.pre_tokenizer()?,
            "post_processor": self.post_processor(),
            "decoder": self.decoder(),
        });
        let mut text = json.to_string();
        text.pop(); // the brace
        text.push_str(",\"model\":");
        self.write_model(&mut text);
        text.push('}');
        Ok(text)
    }

    fn text(&self, id: u32) -> String {
        String::from_utf8_lossy(self.vocabulary.text(id)).into_owned()
    }

    fn ids(&self) -> std::ops::Range<u32> {
        0..self.vocabulary.len() as u32
    }

    /// Whether tokens are text with a mark for the space, and not GPT-2's byte alphabet.
    fn is_plain_text(&self) -> bool {
        match &self.model {
            Model::Bpe { pre, .. } => pre.traits.plain_text,
            Model::SentencePiece => true,
        }
    }

    fn added_tokens(&self) -> Vec<Value> {
        let listed = self.ids().filter_map(|id| {
            let special = match self.vocabulary.token_type(id) {
                TokenType::Control | TokenType::Unknown => true,
                TokenType::UserDefined => false,
                _ => return None,
            };
            Some(json!({"id": id, "content": self.text(id), "single_word": false, "lstrip": false,
                        "rstrip": false, "normalized": false, "special": special}))
        });
        listed.collect()
    }

    fn normalizer(&self) -> Value {
        let marks = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE_MARK});
        match (self.is_plain_text(), self.space_prefix) {
            (false, _) => Value::Null,
            (true, false) => marks,
            (true, true) => {
                let prefix = json!({"type": "Prepend", "prepend": SPACE_MARK});
                json!({"type": "Sequence", "normalizers": [prefix, marks]})
            }
        }
    }

    fn pre_tokenizer(&self) -> Result<Value> {
        let Model::Bpe { pre, .. } = &self.model else {
            return Ok(Value::Null);
        };
        if pre.traits.newline_runs {
            let message = "a tokenizer.json cannot say how this vocabulary joins newlines";
            return Err(Failure::Unsupported(message.into()));
        }
        let mut steps: Vec<Value> = pre.patterns().map(split).collect();
        if !pre.traits.plain_text {
            steps.push(byte_level(json!({"use_regex": false})));
        }
        Ok(json!({"type": "Sequence", "pretokenizers": steps}))
    }

    /// BOS and EOS where the file wants them.
    fn post_processor(&self) -> Value {
        let bos = self.bos.filter(|_| self.add_bos);
        let eos = self.eos.first().filter(|_| self.add_eos).map(|&id| id as u32);
        if bos.is_none() && eos.is_none() {
            return if self.is_plain_text() { Value::Null } else { byte_level(json!({})) };
        }
        let piece = |id: u32| json!({"SpecialToken": {"id": self.text(id), "type_id": 0}});
        let around = |sequences: &[&str]| {
            let mut template = Vec::new();
            for name in sequences {
                template.extend(bos.map(piece));
                template.push(json!({"Sequence": {"id": name, "type_id": 0}}));
                template.extend(eos.map(piece));
            }
            template
        };
        let mut special = Map::new();
        for id in [bos, eos].into_iter().flatten() {
            let text = self.text(id);
            special.insert(text.clone(), json!({"id": text, "ids": [id], "tokens": [text]}));
        }
        json!({"type": "TemplateProcessing", "single": around(&["A"]), "pair": around(&["A", "B"]),
               "special_tokens": special})
    }

    fn decoder(&self) -> Value {
        if !self.is_plain_text() {
            return byte_level(json!({}));
        }
        let mut steps = vec![
            json!({"type": "Replace", "pattern": {"String": SPACE_MARK}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if self.space_prefix {
            steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        json!({"type": "Sequence", "decoders": steps})
    }

    /// As text, piece by piece: half a million merges as values would take ten times its memory.
    fn write_model(&self, text: &mut String) {
        let ignores = match &self.model {
            Model::Bpe { pre, .. } => pre.traits.ignore_merges,
            Model::SentencePiece => false,
        };
        let unknown = self.unknown.filter(|_| self.is_plain_text()).map(|id| self.text(id));
        let head = json!({"type": "BPE", "dropout": null, "unk_token": unknown,
                          "continuing_subword_prefix": null, "end_of_word_suffix": null,
                          "fuse_unk": self.is_plain_text(), "byte_fallback": self.is_plain_text(),
                          "ignore_merges": ignores});
        text.push_str(&head.to_string());
        text.pop();
        text.push_str(",\"vocab\":{");
        let mut comma = "";
        for id in self.ids() {
            // Two tokens of one text: that which encoding finds.
            if self.vocabulary.find(self.vocabulary.text(id)) == Some(id) {
                text.push_str(&format!("{comma}{}:{id}", json!(self.text(id))));
                comma = ",";
            }
        }
        text.push_str("},\"merges\":[");
        match &self.model {
            Model::Bpe { merges, .. } => {
                for i in 0..merges.len() {
                    let comma = if i == 0 { "" } else { "," };
                    text.push_str(comma);
                    text.push_str(&json!(String::from_utf8_lossy(merges.get(i))).to_string());
                }
            }
            Model::SentencePiece => self.write_merges_by_score(text),
        }
        text.push_str("]}");
    }

    /// As ["left", "right"]: pieces may hold spaces.
    fn write_merges_by_score(&self, text: &mut String) {
        let joins = |id: &u32| {
            let kind = self.vocabulary.token_type(*id);
            !matches!(kind, TokenType::Control | TokenType::Unknown | TokenType::Byte)
        };
        let find = |text: &str| self.vocabulary.find(text.as_bytes()).filter(joins);
        let mut pieces: Vec<u32> = self.ids().filter(joins).collect();
        pieces.sort_by(|&a, &b| self.vocabulary.score(b).total_cmp(&self.vocabulary.score(a)));
        let mut comma = "";
        for id in pieces {
            let Ok(piece) = std::str::from_utf8(self.vocabulary.text(id)) else { continue };
            if self.vocabulary.find(piece.as_bytes()) != Some(id) {
                continue;
            }
            let cuts = piece.char_indices().map(|(at, _)| at).skip(1);
            let mut ways: Vec<(u32, u32, usize)> = cuts
                .filter_map(|at| Some((find(&piece[..at])?, find(&piece[at..])?, at)))
                .collect();
            ways.sort_unstable();
            for (_, _, at) in ways {
                text.push_str(&format!("{comma}{}", json!([piece[..at], piece[at..]])));
                comma = ",";
            }
        }
    }
}

fn split(pattern: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
}

fn byte_level(given: Value) -> Value {
    let mut all = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                         "use_regex": true});
    for (key, value) in given.as_object().into_iter().flatten() {
        all[key] = value.clone();
    }
    all
}
