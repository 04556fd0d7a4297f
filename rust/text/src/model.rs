//! The model of a tokenizer.json: BPE, which nearly all have and which can hold a quarter of a million
//! words, in little room; any other, and a BPE with something unusual to it, as `tokenizers` reads it.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;
use tokenizers::models::TrainerWrapper;
use tokenizers::{ModelWrapper, Token};

use crate::bpe::{Bpe, Options, Piece};
use crate::bpe_json::{read_merges, read_words};

pub enum Model {
    Bpe(Box<Bpe>),
    Other(Box<ModelWrapper>),
}

impl<'de> Deserialize<'de> for Model {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Model, D::Error> {
        let fields = deserializer.deserialize_map(FieldsVisitor)?;
        read_model(fields).map_err(D::Error::custom)
    }
}

/// The members of a JSON object, each still text.
struct Fields<'de>(Vec<(String, &'de RawValue)>);

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a model")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

impl<'de> Fields<'de> {
    /// Of several members with one name the last.
    fn find(&self, name: &str) -> Option<&'de RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, json)| *json)
    }

    fn get<T: DeserializeOwned>(&self, name: &str) -> serde_json::Result<Option<T>> {
        let value = self.find(name).map(|json| serde_json::from_str::<Option<T>>(json.get()));
        Ok(value.transpose()?.flatten())
    }

    fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(key, _)| key == name).count()
    }
}

fn read_model(fields: Fields) -> serde_json::Result<Model> {
    let is_bpe = fields.count("type") == 1
        && matches!(fields.get::<String>("type"), Ok(Some(t)) if t == "BPE");
    let is_plain = matches!(fields.get::<f32>("dropout"), Ok(None | Some(0.0)));
    let words_and_merges = fields.find("vocab").zip(fields.find("merges"));
    if let (true, true, Some((words, merges))) = (is_bpe, is_plain, words_and_merges) {
        return read_bpe(&fields, words, merges).map(|bpe| Model::Bpe(Box::new(bpe)));
    }
    let model = ModelWrapper::deserialize(MapDeserializer::new(fields.0.into_iter()))?;
    Ok(Model::Other(Box::new(model)))
}

fn read_bpe(fields: &Fields, words: &RawValue, merges: &RawValue) -> serde_json::Result<Bpe> {
    let options = Options {
        unk_token: fields.get("unk_token")?,
        continuing_subword_prefix: fields.get("continuing_subword_prefix")?,
        end_of_word_suffix: fields.get("end_of_word_suffix")?,
        fuse_unk: fields.get("fuse_unk")?.unwrap_or(false),
        byte_fallback: fields.get("byte_fallback")?.unwrap_or(false),
        ignore_merges: fields.get("ignore_merges")?.unwrap_or(false),
    };
    let prefix_length = options.continuing_subword_prefix.as_ref().map_or(0, String::len);
    let words = read_words(words)?;
    let merges = read_merges(merges, &words, prefix_length)?;
    Ok(Bpe::new(words, merges, options))
}

impl Model {
    pub fn largest_id(&self) -> Option<u32> {
        match self {
            Model::Bpe(bpe) => bpe.words().largest_id(),
            Model::Other(model) => tokenizers::Model::get_vocab(&**model).into_values().max(),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl tokenizers::Model for Model {
    type Trainer = TrainerWrapper;

    /// A Bpe's tokens come without their text: only ids are asked for.
    fn tokenize(&self, word: &str) -> tokenizers::Result<Vec<Token>> {
        let bpe = match self {
            Model::Bpe(bpe) => bpe,
            Model::Other(model) => return model.tokenize(word),
        };
        let mut start = 0;
        let token = |piece: &Piece| {
            let offsets = (start, start + piece.length);
            start = offsets.1;
            Token::new(piece.id, String::new(), offsets)
        };
        Ok(bpe.pieces(word)?.iter().map(token).collect())
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Model::Bpe(bpe) => bpe.words().id(token.as_bytes()),
            Model::Other(model) => model.token_to_id(token),
        }
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        match self {
            Model::Bpe(bpe) => bpe.words().text(id).map(text),
            Model::Other(model) => model.id_to_token(id),
        }
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        match self {
            Model::Bpe(bpe) => bpe.words().iter().map(|(word, id)| (text(word), id)).collect(),
            Model::Other(model) => model.get_vocab(),
        }
    }

    fn get_vocab_size(&self) -> usize {
        match self {
            Model::Bpe(bpe) => bpe.words().len(),
            Model::Other(model) => model.get_vocab_size(),
        }
    }

    fn save(&self, _folder: &Path, _prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        Err("a model is only read here".into())
    }

    fn get_trainer(&self) -> TrainerWrapper {
        match self {
            Model::Bpe(_) => tokenizers::models::bpe::BpeTrainer::default().into(),
            Model::Other(model) => model.get_trainer(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, Value};
    use tokenizers::models::bpe::BPE;
    use tokenizers::Model as _;

    const WORDS: &str = r###"{"a": 0, "b": 1, "ab": 2, "abc": 3, "c": 4, "bc": 5, "<u>": 9,
        "<0xC3>": 6, "<0xA9>": 7, "##b": 10, "##c": 11, "a.": 12, "##b.": 13, "d": 14, "d": 15}"###;

    fn text(options: &str, merges: &str) -> String {
        format!(r#"{{"type": "BPE", {options} "vocab": {WORDS}, "merges": {merges}}}"#)
    }

    fn ids(model: &impl tokenizers::Model, word: &str) -> Result<Vec<u32>, String> {
        let tokens = model.tokenize(word).map_err(|e| e.to_string())?;
        Ok(tokens.iter().map(|token| token.id).collect())
    }

    fn read(json: &str) -> Result<Model, serde_json::Error> {
        serde_json::from_slice(json.as_bytes())
    }

    /// Both read `json`, and do the same to every word of few letters.
    fn assert_equal(json: &str) {
        let (ours, theirs) =
            (read(json).unwrap(), serde_json::from_str::<ModelWrapper>(json).unwrap());
        assert!(matches!(ours, Model::Bpe(_)));
        assert_eq!(ours.get_vocab_size(), theirs.get_vocab_size());
        assert_eq!(ours.get_vocab(), theirs.get_vocab());
        for id in 0..20 {
            assert_eq!(ours.id_to_token(id), theirs.id_to_token(id));
        }
        let letters = ['a', 'b', 'c', 'é', 'x', '🙂'];
        for code in 0..letters.len().pow(5) {
            let digit = |place| letters[code / letters.len().pow(place) % letters.len()];
            let word: String = (0..1 + code as u32 % 5).map(digit).collect();
            assert_eq!(ids(&ours, &word), ids(&theirs, &word), "{json} {word}");
        }
    }

    #[test]
    fn words_end_as_the_same_pieces() {
        let unknown = r#""unk_token": "<u>","#;
        let bytes = r#""unk_token": "<u>", "byte_fallback": true,"#;
        let affixes = r#""continuing_subword_prefix": "\u0023#", "end_of_word_suffix": ".","#;
        for options in [
            "",
            unknown,
            bytes,
            affixes,
            r#""unk_token": "<u>", "fuse_unk": true, "ignore_merges": true, "dropout": 0.0,"#,
            r#""unk_token": "<u>", "byte_fallback": true, "fuse_unk": true, "other": [{}],"#,
            r#""unk_token": "not a word", "fuse_unk": null,"#,
            r#""unk_token": "<u>", "unk_token": null,"#,
        ] {
            for merges in [
                "[]",
                r#"["a b", "ab c"]"#,
                r##"["#version: 0.2", "b c", "a b", "ab c", "a bc"]"##,
                r#"[["a", "b"], ["b", "c"], ["a", "bc"], ["ab", "c"]]"#,
                r#"[["b", "c"], ["a", "b"], ["a", "bc"], ["b", "c"], ["ab", "c"]]"#,
            ] {
                if options != affixes {
                    assert_equal(&text(options, merges));
                }
            }
        }
        assert_equal(&text(affixes, r###"[["a", "##b"]]"###));
    }

    #[test]
    fn what_tokenizers_refuses_is_refused() {
        for (options, merges) in [
            ("", r#"["a b c"]"#),
            ("", r#"["ab"]"#),
            ("", r#"["a b", ["b", "c"]]"#),
            ("", r#"[["a", "b", "c"]]"#),
            ("", r#"[["a", 1]]"#),
            ("", r#"[["a", "\ud800"]]"#),
            ("", r#"["a zz"]"#),
            ("", r#"["b a"]"#),
            ("", "null"),
            (r#""unk_token": 1,"#, "[]"),
            (r#""dropout": 2,"#, "[]"),
        ] {
            let json = text(options, merges);
            assert!(serde_json::from_str::<ModelWrapper>(&json).is_err(), "{json}");
            assert!(read(&json).is_err(), "{json}");
        }
        for words in
            [r#"{"\ud800": 1}"#, r#"{"a": -1}"#, r#"{"a": 1.0}"#, r#"{"a": 4294967296}"#, "[]"]
        {
            let json = format!(r#"{{"type": "BPE", "merges": [], "vocab": {words}}}"#);
            assert!(serde_json::from_str::<ModelWrapper>(&json).is_err(), "{json}");
            assert!(read(&json).is_err(), "{json}");
        }
        // `tokenizers` panics over this one.
        assert!(read(&text(r#""continuing_subword_prefix": "longer","#, r#"["a b"]"#)).is_err());
    }

    #[test]
    fn errors_are_those_of_tokenizers() {
        for merges in [r#"["a zz"]"#, r#"["b a"]"#, r#"["a b", "a b c"]"#] {
            let json = text("", merges);
            let theirs = serde_json::from_str::<BPE>(&json).unwrap_err().to_string();
            let ours = read(&json).err().map(|e| e.to_string()).unwrap_or_default();
            let message = |error: &str| error.split(" at line ").next().unwrap().to_string();
            assert_eq!(message(&ours), message(&theirs));
        }
    }

    #[test]
    fn other_models_are_read_by_tokenizers() {
        let words: Value = serde_json::from_str(WORDS).unwrap();
        let level = json!({"type": "WordLevel", "vocab": words, "unk_token": "<u>"}).to_string();
        let model = read(&level).unwrap();
        assert!(matches!(model, Model::Other(_)));
        assert_eq!(ids(&model, "abc"), Ok(vec![3]));
        let untyped = json!({"vocab": words, "merges": ["a b"]}).to_string();
        assert_eq!(ids(&read(&untyped).unwrap(), "abc"), Ok(vec![2, 4]));
        assert!(matches!(read(&text(r#""dropout": 0.5,"#, "[]")), Ok(Model::Other(_))));
        assert!(read("null").is_err() && read("{}").is_err());
    }
}
