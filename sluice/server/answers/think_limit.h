#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sluice/engine/request.h"
#include "sluice/text/tokenizer.h"

namespace sluice::server {

/// How long a model may think.
struct ThinkLimit {
  int64_t tokens = 0;                ///< in all, behind `begin`
  bool begun = false;                ///< the prompt has begun it
  std::string begin = {}, end = {};  ///< the texts that do
  std::vector<text::Token> then =
      {};  ///< what is to come once it has thought so long; holds the end
};

/// What `inner` (null: anything) allows, but for the end of thinking, which comes when it is due. tokenizer: outlives it.
std::shared_ptr<engine::Constraint> make_think_limit(std::shared_ptr<engine::Constraint> inner,
                                                     ThinkLimit limit,
                                                     const text::Tokenizer& tokenizer);

}  // namespace sluice::server
