//! Everything about text that Sluice takes from the Rust world, behind one `cxx` boundary
//! (sluice/text/ffi.cpp is its only user): tokenizers, chat templates and, later, constrained decoding.
//! No panic crosses: each exported function is a `guard`, and a Failure becomes a C++ exception.

mod bpe;
mod bpe_json;
mod byte_level;
mod failure;
mod gguf;
mod huggingface;
mod jinja;
mod merge;
mod model;
mod pretokenizer;
mod quota;
mod special;
mod strings;
mod template;
mod vocabulary;
mod words;

use failure::{guard, Failure, Result};
use gguf::GgufTokenizer;
use huggingface::HuggingFaceTokenizer;

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

    /// A rendered template, or why its rendering was given up and must not be tried again.
    struct Rendering {
        text: String,
        overrun: String,
    }

    extern "Rust" {
        type Tokenizer;

        fn open_tokenizer_json(json: &[u8]) -> Result<Box<Tokenizer>>;
        /// # Safety
        /// The vocabulary's byte slices stay readable for as long as the tokenizer lives.
        unsafe fn open_gguf_vocabulary(vocabulary: &GgufVocabulary) -> Result<Box<Tokenizer>>;

        fn encode(
            self: &Tokenizer,
            text: &[u8],
            add_special: bool,
            parse_special: bool,
        ) -> Result<Vec<i32>>;
        fn token_bytes(self: &Tokenizer, id: i32, keep_special: bool) -> Result<Vec<u8>>;
        /// -1 when there is no such token.
        fn token_id(self: &Tokenizer, text: &[u8]) -> Result<i32>;
        fn vocab_size(self: &Tokenizer) -> Result<i64>;
        fn drops_first_space(self: &Tokenizer) -> bool;
        /// -1 when there is none; a tokenizer.json does not name it.
        fn bos(self: &Tokenizer) -> i32;
        fn adds_bos(self: &Tokenizer) -> bool;
        fn eos(self: &Tokenizer) -> Vec<i32>;

        /// Renders a chat template; `context` is a JSON object of its variables.
        fn render_template(
            source: &[u8],
            context: &[u8],
            limits: &TemplateLimits,
        ) -> Result<Rendering>;
    }
}

/// One of the two kinds of vocabulary.
pub enum Tokenizer {
    HuggingFace(Box<HuggingFaceTokenizer>),
    Gguf(Box<GgufTokenizer>),
}

fn open_tokenizer_json(json: &[u8]) -> Result<Box<Tokenizer>> {
    let opened = guard(|| {
        let tokenizer = HuggingFaceTokenizer::open(json)?;
        Ok(Box::new(Tokenizer::HuggingFace(Box::new(tokenizer))))
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
        Ok(Box::new(Tokenizer::Gguf(Box::new(tokenizer))))
    })
}

fn utf8(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text).map_err(|e| {
        Failure::BadRequest(format!("the text is not UTF-8 at byte {}", e.valid_up_to()))
    })
}

impl Tokenizer {
    fn encode(&self, text: &[u8], add_special: bool, parse_special: bool) -> Result<Vec<i32>> {
        guard(|| {
            let text = utf8(text)?;
            match self {
                Tokenizer::HuggingFace(t) => t.encode(text, add_special, parse_special),
                Tokenizer::Gguf(t) => t.encode(text, add_special, parse_special),
            }
        })
    }

    fn token_bytes(&self, id: i32, keep_special: bool) -> Result<Vec<u8>> {
        guard(|| match (u32::try_from(id), self) {
            (Ok(id), Tokenizer::HuggingFace(t)) => Ok(t.token_bytes(id, keep_special)),
            (Ok(id), Tokenizer::Gguf(t)) if (id as usize) < t.vocab_size() => {
                Ok(t.token_bytes(id, keep_special))
            }
            _ => Ok(Vec::new()),
        })
    }

    fn token_id(&self, text: &[u8]) -> Result<i32> {
        guard(|| {
            let id = match self {
                Tokenizer::HuggingFace(t) => {
                    std::str::from_utf8(text).ok().and_then(|s| t.token_id(s))
                }
                Tokenizer::Gguf(t) => t.token_id(text),
            };
            Ok(id.and_then(|id| i32::try_from(id).ok()).unwrap_or(-1))
        })
    }

    fn vocab_size(&self) -> Result<i64> {
        guard(|| {
            Ok(match self {
                Tokenizer::HuggingFace(t) => t.vocab_size() as i64,
                Tokenizer::Gguf(t) => t.vocab_size() as i64,
            })
        })
    }

    fn drops_first_space(&self) -> bool {
        match self {
            Tokenizer::HuggingFace(t) => t.drops_first_space(),
            Tokenizer::Gguf(t) => t.drops_first_space(),
        }
    }

    fn bos(&self) -> i32 {
        match self {
            Tokenizer::HuggingFace(_) => -1,
            Tokenizer::Gguf(t) => t.bos().map_or(-1, |id| id as i32),
        }
    }

    fn adds_bos(&self) -> bool {
        matches!(self, Tokenizer::Gguf(t) if t.adds_bos())
    }

    fn eos(&self) -> Vec<i32> {
        match self {
            Tokenizer::HuggingFace(_) => Vec::new(),
            Tokenizer::Gguf(t) => t.eos().to_vec(),
        }
    }
}

fn render_template(
    source: &[u8],
    context: &[u8],
    limits: &ffi::TemplateLimits,
) -> Result<ffi::Rendering> {
    guard(|| {
        let source = std::str::from_utf8(source)
            .map_err(|_| Failure::BadModel("the template is not UTF-8".into()))?;
        let limits = template::Limits {
            steps: limits.steps,
            output_bytes: limits.output_bytes as usize,
            memory_bytes: limits.memory_bytes as usize,
            time: std::time::Duration::from_millis(limits.time_ms),
        };
        let (text, overrun) = match template::render(source, utf8(context)?, limits)? {
            template::Rendering::Done(text) => (text, String::new()),
            template::Rendering::Overrun(what) => (String::new(), what.to_string()),
        };
        Ok(ffi::Rendering { text, overrun })
    })
}
