#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "sluice/text/tokenizer.h"

namespace sluice::text {

enum class GrammarKind {
  json_object,  ///< any JSON object; it has no definition
  json_schema,  ///< definition: a schema as JSON
  regex,        ///< in the syntax of Rust's regex crate
  lark,         ///< llguidance's variant of Lark's grammars
  gbnf,         ///< llama.cpp's grammars, converted (gbnf.h)
};

/// One text that has to fit a grammar, as it grows. For one thread at a time.
class GrammarMatcher {
 public:
  virtual ~GrammarMatcher() = default;
  /// Sets the logits of tokens that may not follow to -infinity. logits: [vocab_size]. Throws Error(bad_request) when
  /// the grammar is too costly to go on with.
  virtual void mask(std::span<float> logits) = 0;
  /// Goes on after `token`, which mask() left. False when the text is complete and nothing may follow.
  virtual bool accept(Token token) = 0;
};

/// Grammars over a model's tokens (llguidance). Thread-safe.
class Grammars {
 public:
  virtual ~Grammars() = default;
  /// Throws Error(bad_request) for a definition that is wrong, has what is not supported, or costs too much.
  virtual std::unique_ptr<GrammarMatcher> compile(GrammarKind kind,
                                                  std::string_view definition) const = 0;
};

/// n_tokens: logits of the model, whose tokens above the tokenizer's never fit. Takes some hundred milliseconds.
std::unique_ptr<Grammars> open_grammars(const Tokenizer& tokenizer, int64_t n_tokens);

}  // namespace sluice::text
