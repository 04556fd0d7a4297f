//! What may follow a text that has to fit a grammar: llguidance, with its costs bounded. Definitions come from
//! clients: what is known to grow beyond them (repeated items) is refused before anything is built, and the
//! rest is built within a quota.

use crate::failure::{guard, Failure, Result};
use crate::quota::{self, Overrun, Quota};
use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// What a definition may cost to compile: a few megabytes of JSON, some hundred milliseconds.
const LIMITS: ParserLimits = ParserLimits {
    max_items_in_row: 2_000,
    initial_lexer_fuel: 1_000_000,
    step_lexer_fuel: 500_000,
    step_max_items: 100_000,
    max_lexer_states: 100_000,
    max_grammar_size: 500_000,
    precompute_large_lexemes: false,
    verbose_errors: false,
};
/// Bytes of a definition.
const MAX_DEFINITION: usize = 1 << 20;
/// Of minItems and maxItems: llguidance writes items out one by one, 2 KB each.
const MAX_ITEMS: u64 = 10_000;
/// The largest definitions that were tried took 36 MB.
const QUOTA: Quota =
    Quota { bytes: 128 << 20, time: Duration::from_secs(30), stack_bytes: 256 << 20 };
/// Definitions that may use up the quota: each keeps what it held.
const MAX_OVERRUNS: usize = 8;
static OVERRUNS: AtomicUsize = AtomicUsize::new(0);

/// A model's tokens, as grammars see them.
pub struct Grammars(Arc<ParserFactory>);

/// One text that grows token by token.
pub struct GrammarMatcher {
    matcher: Matcher,
    vocab_size: usize,
}

/// bytes: of all tokens, one after the other; ends: where each one ends. Tokens without bytes never fit. eos: what ends
/// a text; where a grammar decides, the first of them.
pub fn open_grammars(bytes: &[u8], ends: &[u64], eos: &[i32]) -> Result<Box<Grammars>> {
    guard(|| {
        let mut words = Vec::with_capacity(ends.len());
        let mut begin = 0usize;
        for &end in ends {
            let word = bytes.get(begin..end as usize);
            let word = word.ok_or_else(|| Failure::Internal("token ends do not ascend".into()))?;
            words.push(word.to_vec());
            begin = end as usize;
        }
        let eos: Vec<u32> = eos.iter().map(|&id| id as u32).collect();
        let first = *eos.first().unwrap_or(&0);
        for &id in &eos {
            // llguidance's mark of what is no text
            words[id as usize] = format!("\u{1}<|end{id}|>").into_bytes();
            words[id as usize][0] = TokTrie::SPECIAL_TOKEN_MARKER;
        }
        let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, first), &words);
        let environment: llguidance::toktrie::TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&environment)
            .map_err(|e| Failure::Internal(e.to_string()))?;
        factory.quiet();
        *factory.limits_mut() = LIMITS;
        Ok(Box::new(Grammars(Arc::new(factory))))
    })
}

/// JSON as Python's json.dumps writes it. Where white space is free, a model that has nothing to say goes on with it.
fn of_schema(text: &str) -> std::result::Result<TopLevelGrammar, String> {
    let mut schema: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    check_items(&schema)?;
    if let Some(object) = schema.as_object_mut() {
        let spelling = serde_json::json!({
            "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "
        });
        object.insert("x-guidance".into(), spelling);
    }
    Ok(TopLevelGrammar::from_json_schema(schema))
}

/// Schemas may stand in Lark's text, behind %json.
fn of_lark(text: &str) -> std::result::Result<TopLevelGrammar, String> {
    for (at, word) in text.match_indices("%json") {
        let schema = &text[at + word.len()..];
        let mut values = serde_json::Deserializer::from_str(schema).into_iter::<Value>();
        if let Some(Ok(schema)) = values.next() {
            check_items(&schema)?;
        }
    }
    TopLevelGrammar::from_tagged_str("lark", text).map_err(|e| e.to_string())
}

fn check_items(schema: &Value) -> std::result::Result<(), String> {
    match schema {
        Value::Object(members) => {
            for name in ["minItems", "maxItems"] {
                let n = members.get(name).and_then(Value::as_f64);
                if let Some(n) = n.filter(|&n| n > MAX_ITEMS as f64) {
                    return Err(format!("{name} is {n}, {MAX_ITEMS} are the most; leave it out"));
                }
            }
            members.values().try_for_each(check_items)
        }
        Value::Array(items) => items.iter().try_for_each(check_items),
        _ => Ok(()),
    }
}

fn bad(kind: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::BadRequest(format!("the {kind} is not usable: {why}"))
}

fn build(factory: &ParserFactory, kind: &str, definition: &[u8]) -> Result<Matcher> {
    let text = std::str::from_utf8(definition).map_err(|e| bad(kind, &e))?;
    let grammar = match kind {
        "json_object" => of_schema(r#"{"type": "object"}"#),
        "json_schema" => of_schema(text),
        "lark" => of_lark(text),
        _ => TopLevelGrammar::from_tagged_str(kind, text).map_err(|e| e.to_string()),
    };
    let matcher = Matcher::new(factory.create_parser(grammar.map_err(|e| bad(kind, &e))?));
    match matcher.get_error() {
        Some(error) => Err(bad(kind, &error)),
        None => Ok(matcher),
    }
}

impl Grammars {
    /// kind: json_object, json_schema, regex or lark.
    pub fn compile(&self, kind: &str, definition: &[u8]) -> Result<Box<GrammarMatcher>> {
        if definition.len() > MAX_DEFINITION {
            return Err(Failure::BadRequest(format!(
                "the {kind} has {} bytes, {MAX_DEFINITION} are the most",
                definition.len()
            )));
        }
        if OVERRUNS.load(Ordering::Relaxed) >= MAX_OVERRUNS {
            let why = format!("{MAX_OVERRUNS} took too much already; start the server anew");
            return Err(bad(kind, &why));
        }
        let vocab_size = self.0.tok_env().tok_trie().vocab_size();
        let (factory, owned) = (self.0.clone(), (kind.to_string(), definition.to_vec()));
        let body = move || guard(|| build(&factory, &owned.0, &owned.1));
        match quota::within(QUOTA, "grammar", body)? {
            Ok(matcher) => Ok(Box::new(GrammarMatcher { matcher: matcher?, vocab_size })),
            Err(Overrun(what)) => {
                OVERRUNS.fetch_add(1, Ordering::Relaxed);
                Err(bad(kind, &format!("it takes too much {what} to build")))
            }
        }
    }
}

impl GrammarMatcher {
    /// -infinity for every token that may not follow.
    pub fn mask(&mut self, logits: &mut [f32]) -> Result<()> {
        guard(|| {
            let allowed = self
                .matcher
                .compute_mask_or_eos()
                .map_err(|e| Failure::BadRequest(e.to_string()))?;
            let known = self.vocab_size.min(logits.len());
            for (id, logit) in logits.iter_mut().enumerate() {
                if id >= known || !allowed.is_allowed(id as u32) {
                    *logit = f32::NEG_INFINITY;
                }
            }
            Ok(())
        })
    }

    /// False when the text is complete and nothing may follow.
    pub fn accept(&mut self, token: i32) -> Result<bool> {
        guard(|| {
            if self.matcher.is_stopped() {
                return Ok(false);
            }
            self.matcher
                .consume_token(token as u32)
                .map_err(|e| Failure::BadRequest(e.to_string()))?;
            Ok(!self.matcher.is_stopped())
        })
    }
}
