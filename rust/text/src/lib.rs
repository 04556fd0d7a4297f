//! Everything about text that Sluice takes from the Rust world, behind one `cxx` boundary
//! (sluice/text/ffi.cpp is its only user): tokenizers, chat templates and grammars.
//! No panic crosses: each exported function is a `guard`, and a Failure becomes a C++ exception.

mod added;
mod bpe;
mod bpe_json;
mod byte_level;
mod cuts;
mod failure;
mod gguf;
mod gguf_json;
mod grammar;
mod growth;
mod huggingface;
mod jinja;
mod marking;
mod merge;
mod model;
mod pretokenizer;
mod quota;
mod special;
mod strings;
mod template;
mod trust;
mod vocabulary;
mod words;

use failure::{guard, Failure, Result};
use gguf::GgufTokenizer;
use grammar::{open_grammars, GrammarMatcher, Grammars};
use huggingface::{BesideToken, HuggingFaceTokenizer};
use marking::{Rendered, Spellings};
use std::sync::{Arc, OnceLock};
use tokenizers::AddedToken;
use trust::Special;

#[cxx::bridge(namespace = "sluice::text::ffi")]
mod ffi {
    /// A GGUF's tokenizer.ggml.*: numbers that are absent are -1, arrays that are absent empty.
    struct GgufVocabulary<'a> {
        model: &'a str,
        pre: &'a str,
        general_name: &'a str,
        bos_id: i32,
        unknown_id: i32,
        /// eos, eot and eom ids that the file names, eos first.
        eos_ids: Vec<i32>,
        add_bos: i32,
        add_eos: i32,
        add_space_prefix: i32,
        tokens: &'a [u8],
        n_tokens: u64,
        merges: &'a [u8],
        n_merges: u64,
        token_types: &'a [u8],
        scores: &'a [u8],
    }

    /// What rendering a template may cost.
    struct TemplateLimits {
        steps: u64,
        output_bytes: u64,
        memory_bytes: u64,
        time_ms: u64,
    }

    /// Bytes from `begin` to before `end`.
    struct Span {
        begin: u64,
        end: u64,
    }

    /// A rendered template and where it spelled special tokens itself, or why its rendering was given up
    /// and must not be tried again.
    struct Rendering {
        text: String,
        trusted: Vec<Span>,
        overrun: String,
    }

    /// A token that stands in a file beside tokenizer.json; with `only_if_new` it counts unless
    /// tokenizer.json lists it as added.
    struct BesideToken {
        content: String,
        single_word: bool,
        lstrip: bool,
        rstrip: bool,
        normalized: bool,
        special: bool,
        only_if_new: bool,
    }

    extern "Rust" {
        type Tokenizer;

        fn open_tokenizer_json(json: &[u8], beside: &[BesideToken]) -> Result<Box<Tokenizer>>;
        /// # Safety
        /// The vocabulary's byte slices stay readable for as long as the tokenizer lives.
        unsafe fn open_gguf_vocabulary(vocabulary: &GgufVocabulary) -> Result<Box<Tokenizer>>;

        fn encode(
            self: &Tokenizer,
            text: &[u8],
            add_special: bool,
            parse_special: bool,
        ) -> Result<Vec<i32>>;
        /// Special tokens are read in the `trusted` bytes only.
        fn encode_within(
            self: &Tokenizer,
            text: &[u8],
            add_special: bool,
            trusted: &[Span],
        ) -> Result<Vec<i32>>;
        fn is_special(self: &Tokenizer, id: i32) -> bool;
        fn token_bytes(self: &Tokenizer, id: i32, keep_special: bool) -> Result<Vec<u8>>;
        /// -1 when there is no such token.
        fn token_id(self: &Tokenizer, text: &[u8]) -> Result<i32>;
        fn vocab_size(self: &Tokenizer) -> Result<i64>;
        fn drops_first_space(self: &Tokenizer) -> bool;
        /// -1 when there is none; a tokenizer.json does not name it.
        fn bos(self: &Tokenizer) -> i32;
        /// -1 when there is none; a tokenizer.json does not name it.
        fn unknown(self: &Tokenizer) -> i32;
        fn adds_bos(self: &Tokenizer) -> bool;
        fn eos(self: &Tokenizer) -> Vec<i32>;
        /// A GGUF's vocabulary as Hugging Face's tokenizer.json.
        fn to_json(self: &Tokenizer) -> Result<String>;

        /// Renders a chat template. `given` and `own` are JSON objects of its variables, `own` of texts
        /// that are the model's, such as bos_token; what is given goes before.
        fn render_template(
            self: &Tokenizer,
            source: &[u8],
            given: &[u8],
            own: &[u8],
            limits: &TemplateLimits,
        ) -> Result<Rendering>;
        type Grammars;
        type GrammarMatcher;

        /// bytes: of all tokens, one after the other; ends: where each one ends; eos: which of them end
        /// a text.
        fn open_grammars(bytes: &[u8], ends: &[u64], eos: &[i32]) -> Result<Box<Grammars>>;
        /// kind: json_object, json_schema, regex or lark.
        fn compile(self: &Grammars, kind: &str, definition: &[u8]) -> Result<Box<GrammarMatcher>>;
        fn mask(self: &mut GrammarMatcher, logits: &mut [f32]) -> Result<()>;
        fn accept(self: &mut GrammarMatcher, token: i32) -> Result<bool>;

        /// The same without a model: nothing is trusted.
        fn render_template(
            source: &[u8],
            given: &[u8],
            limits: &TemplateLimits,
        ) -> Result<Rendering>;
    }
}

/// One of the two kinds of vocabulary.
enum Vocabulary {
    HuggingFace(Box<HuggingFaceTokenizer>),
    Gguf(Box<GgufTokenizer>),
}

pub struct Tokenizer {
    vocabulary: Vocabulary,
    /// For templates; made when the first one is rendered.
    spellings: OnceLock<Arc<Spellings>>,
}

impl From<Vocabulary> for Box<Tokenizer> {
    fn from(vocabulary: Vocabulary) -> Self {
        Box::new(Tokenizer { vocabulary, spellings: OnceLock::new() })
    }
}

fn open_tokenizer_json(json: &[u8], beside: &[ffi::BesideToken]) -> Result<Box<Tokenizer>> {
    let beside = beside.iter().map(|t| BesideToken {
        token: AddedToken::from(t.content.as_str(), t.special)
            .single_word(t.single_word)
            .lstrip(t.lstrip)
            .rstrip(t.rstrip)
            .normalized(t.normalized),
        only_if_new: t.only_if_new,
    });
    let opened = guard(|| {
        let tokenizer = HuggingFaceTokenizer::open(json, beside.collect())?;
        Ok(Vocabulary::HuggingFace(Box::new(tokenizer)).into())
    });
    // `tokenizers` panics over some contradictions in the file.
    opened.map_err(|failure| match failure {
        Failure::Internal(message) => Failure::BadModel(message),
        other => other,
    })
}

/// # Safety
/// As declared in the bridge.
unsafe fn open_gguf_vocabulary(vocabulary: &ffi::GgufVocabulary) -> Result<Box<Tokenizer>> {
    let forever = |bytes: &[u8]| unsafe { std::slice::from_raw_parts(bytes.as_ptr(), bytes.len()) };
    let metadata = gguf::Metadata {
        model: vocabulary.model,
        pre: vocabulary.pre,
        general_name: vocabulary.general_name,
        bos_id: vocabulary.bos_id,
        unknown_id: vocabulary.unknown_id,
        eos_ids: &vocabulary.eos_ids,
        add_bos: vocabulary.add_bos,
        add_eos: vocabulary.add_eos,
        add_space_prefix: vocabulary.add_space_prefix,
    };
    let arrays = gguf::Arrays {
        tokens: (forever(vocabulary.tokens), vocabulary.n_tokens),
        merges: (forever(vocabulary.merges), vocabulary.n_merges),
        types: forever(vocabulary.token_types),
        scores: forever(vocabulary.scores),
    };
    guard(|| {
        let tokenizer = GgufTokenizer::open(&metadata, arrays)?;
        Ok(Vocabulary::Gguf(Box::new(tokenizer)).into())
    })
}

fn utf8(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text).map_err(|e| {
        Failure::BadRequest(format!("the text is not UTF-8 at byte {}", e.valid_up_to()))
    })
}

impl Tokenizer {
    fn encode(&self, text: &[u8], add_special: bool, parse_special: bool) -> Result<Vec<i32>> {
        let special = if parse_special { Special::Anywhere } else { Special::Nowhere };
        self.encode_as(text, add_special, special)
    }

    fn encode_within(
        &self,
        text: &[u8],
        add_special: bool,
        trusted: &[ffi::Span],
    ) -> Result<Vec<i32>> {
        let trusted: Vec<_> = trusted.iter().map(|s| s.begin as usize..s.end as usize).collect();
        self.encode_as(text, add_special, Special::Within(&trusted))
    }

    fn encode_as(&self, text: &[u8], add_special: bool, special: Special) -> Result<Vec<i32>> {
        guard(|| {
            let text = utf8(text)?;
            match &self.vocabulary {
                Vocabulary::HuggingFace(t) => t.encode(text, add_special, special),
                Vocabulary::Gguf(t) => t.encode(text, add_special, special),
            }
        })
    }

    /// Whether text cannot spell it and decoding does not show it.
    fn is_special(&self, id: i32) -> bool {
        match (u32::try_from(id), &self.vocabulary) {
            (Ok(id), Vocabulary::HuggingFace(t)) => t.is_special(id),
            (Ok(id), Vocabulary::Gguf(t)) => (id as usize) < t.vocab_size() && t.is_control(id),
            _ => false,
        }
    }

    fn spellings(&self) -> Result<Arc<Spellings>> {
        if let Some(spellings) = self.spellings.get() {
            return Ok(spellings.clone());
        }
        let spellings = match &self.vocabulary {
            Vocabulary::HuggingFace(t) => Spellings::new(t.guarded()),
            Vocabulary::Gguf(t) => Spellings::new(t.guarded()),
        };
        let spellings = Arc::new(spellings?);
        Ok(self.spellings.get_or_init(|| spellings).clone())
    }

    fn render_template(
        &self,
        source: &[u8],
        given: &[u8],
        own: &[u8],
        limits: &ffi::TemplateLimits,
    ) -> Result<ffi::Rendering> {
        guard(|| render(source, given, own, self.spellings()?, limits))
    }

    fn token_bytes(&self, id: i32, keep_special: bool) -> Result<Vec<u8>> {
        guard(|| match (u32::try_from(id), &self.vocabulary) {
            (Ok(id), Vocabulary::HuggingFace(t)) => Ok(t.token_bytes(id, keep_special)),
            (Ok(id), Vocabulary::Gguf(t)) if (id as usize) < t.vocab_size() => {
                Ok(t.token_bytes(id, keep_special))
            }
            _ => Ok(Vec::new()),
        })
    }

    fn token_id(&self, text: &[u8]) -> Result<i32> {
        guard(|| {
            let id = match &self.vocabulary {
                Vocabulary::HuggingFace(t) => {
                    std::str::from_utf8(text).ok().and_then(|s| t.token_id(s))
                }
                Vocabulary::Gguf(t) => t.token_id(text),
            };
            Ok(id.and_then(|id| i32::try_from(id).ok()).unwrap_or(-1))
        })
    }

    fn vocab_size(&self) -> Result<i64> {
        guard(|| {
            Ok(match &self.vocabulary {
                Vocabulary::HuggingFace(t) => t.vocab_size() as i64,
                Vocabulary::Gguf(t) => t.vocab_size() as i64,
            })
        })
    }

    fn drops_first_space(&self) -> bool {
        match &self.vocabulary {
            Vocabulary::HuggingFace(t) => t.drops_first_space(),
            Vocabulary::Gguf(t) => t.drops_first_space(),
        }
    }

    fn bos(&self) -> i32 {
        match &self.vocabulary {
            Vocabulary::HuggingFace(_) => -1,
            Vocabulary::Gguf(t) => t.bos().map_or(-1, |id| id as i32),
        }
    }

    fn unknown(&self) -> i32 {
        match &self.vocabulary {
            Vocabulary::HuggingFace(_) => -1,
            Vocabulary::Gguf(t) => t.unknown().map_or(-1, |id| id as i32),
        }
    }

    fn adds_bos(&self) -> bool {
        matches!(&self.vocabulary, Vocabulary::Gguf(t) if t.adds_bos())
    }

    fn eos(&self) -> Vec<i32> {
        match &self.vocabulary {
            Vocabulary::HuggingFace(_) => Vec::new(),
            Vocabulary::Gguf(t) => t.eos().to_vec(),
        }
    }

    fn to_json(&self) -> Result<String> {
        guard(|| match &self.vocabulary {
            Vocabulary::HuggingFace(_) => Err(Failure::Internal("it is one already".into())),
            Vocabulary::Gguf(t) => t.to_json(),
        })
    }
}

fn render_template(
    source: &[u8],
    given: &[u8],
    limits: &ffi::TemplateLimits,
) -> Result<ffi::Rendering> {
    guard(|| render(source, given, b"{}", Arc::new(Spellings::new(std::iter::empty())?), limits))
}

fn render(
    source: &[u8],
    given: &[u8],
    own: &[u8],
    spellings: Arc<Spellings>,
    limits: &ffi::TemplateLimits,
) -> Result<ffi::Rendering> {
    let source = std::str::from_utf8(source)
        .map_err(|_| Failure::BadModel("the template is not UTF-8".into()))?;
    let limits = template::Limits {
        steps: limits.steps,
        output_bytes: limits.output_bytes as usize,
        memory_bytes: limits.memory_bytes as usize,
        time: std::time::Duration::from_millis(limits.time_ms),
    };
    let (given, own) = (utf8(given)?.to_string(), utf8(own)?.to_string());
    let variables = template::Variables { given, own, spellings };
    let (rendered, overrun) = match template::render(source, &variables, limits)? {
        template::Rendering::Done(rendered) => (rendered, String::new()),
        template::Rendering::Overrun(what) => (Rendered::default(), what.to_string()),
    };
    let span = |bytes: std::ops::Range<usize>| ffi::Span {
        begin: bytes.start as u64,
        end: bytes.end as u64,
    };
    let trusted = rendered.trusted.into_iter().map(span).collect();
    Ok(ffi::Rendering { text: rendered.text, trusted, overrun })
}
