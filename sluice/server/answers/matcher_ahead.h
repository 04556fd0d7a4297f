#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "sluice/server/answers/mask_thread.h"
#include "sluice/text/grammar.h"

namespace sluice::server {

/// A GrammarMatcher whose mask is found beside the step: begun when a token is accepted, waited for when the next one is
/// chosen. What may follow is the same. Holds 4 bytes for each of the model's tokens.
class MatcherAhead : public text::GrammarMatcher {
 public:
  /// masks: null where there is no such thread; then all is done when it is asked for. n_tokens: logits.
  MatcherAhead(std::unique_ptr<text::GrammarMatcher> matcher, std::shared_ptr<MaskThread> masks,
               int64_t n_tokens);
  ~MatcherAhead() override;

  void mask(std::span<float> logits) override;
  bool accept(text::Token token) override;

 private:
  class Work;
  void begin();

  std::shared_ptr<MaskThread> masks_;
  std::shared_ptr<Work> work_;
  bool begun_ = false;
};

/// Grammars whose matchers are such, on a thread of their own. Thread-safe as they are.
std::unique_ptr<text::Grammars> with_masks_ahead(std::unique_ptr<text::Grammars> grammars,
                                                 int64_t n_tokens);

}  // namespace sluice::server
