//! What may follow a text that has to fit a grammar: llguidance, with its costs bounded.

use crate::failure::{guard, Failure, Result};
use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use std::sync::Arc;

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

/// A model's tokens, as grammars see them.
pub struct Grammars(ParserFactory);

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
        Ok(Box::new(Grammars(factory)))
    })
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
        let bad = |e: &dyn std::fmt::Display| {
            Failure::BadRequest(format!("the {kind} is not usable: {e}"))
        };
        guard(|| {
            let text = std::str::from_utf8(definition).map_err(|e| bad(&e))?;
            let grammar = TopLevelGrammar::from_tagged_str(kind, text).map_err(|e| bad(&e))?;
            let matcher = Matcher::new(self.0.create_parser(grammar));
            if let Some(error) = matcher.get_error() {
                return Err(bad(&error));
            }
            let vocab_size = self.0.tok_env().tok_trie().vocab_size();
            Ok(Box::new(GrammarMatcher { matcher, vocab_size }))
        })
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
