#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sluice/engine/request.h"
#include "sluice/server/ask.h"
#include "sluice/text/grammar.h"

namespace sluice::server {

/// Where a model may think before it answers in a format.
struct Thinking {
  bool begun = false;                               ///< the prompt has begun it
  std::optional<text::Token> begin = std::nullopt;  ///< begins it, as the answer's first token
  std::vector<std::string> ends = {};  ///< it ends behind these texts, one after another
};

/// What an answer of this format may be made of: anything while the model thinks, then what fits. Null for
/// Format::Kind::text. tokenizer: outlives it. Throws Error(bad_request) for a definition that cannot be used.
std::shared_ptr<engine::Constraint> make_constraint(const text::Grammars& grammars,
                                                    const Format& format,
                                                    const text::Tokenizer& tokenizer,
                                                    Thinking thinking);

/// Where in an answer calls have to fit a grammar (answers/call_grammar.h).
struct CallRule {
  std::string grammar = {};
  std::string marker = {};  ///< behind which one begins; empty: the answer begins with one
  bool ends = false;        ///< the answer ends with the first
};

/// Anything but in calls. tokenizer: outlives it. Throws Error(bad_request) for a grammar that cannot be used.
std::shared_ptr<engine::Constraint> make_call_constraint(
    std::shared_ptr<const text::Grammars> grammars, const CallRule& rule,
    const text::Tokenizer& tokenizer);

}  // namespace sluice::server
