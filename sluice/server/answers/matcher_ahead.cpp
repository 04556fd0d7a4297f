#include "sluice/server/answers/matcher_ahead.h"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "sluice/base/error.h"

namespace sluice::server {

/// One mask: 0, or -infinity where a token may not follow. Outlives the answer while the thread is at it.
class MatcherAhead::Work : public MaskWork {
 public:
  Work(std::unique_ptr<text::GrammarMatcher> of, int64_t n_tokens)
      : matcher(std::move(of)), mask(static_cast<size_t>(n_tokens)) {}

  void work() override {
    std::ranges::fill(mask, 0.0F);
    matcher->mask(mask);
  }

  const std::unique_ptr<text::GrammarMatcher> matcher;
  std::vector<float> mask;
};

MatcherAhead::MatcherAhead(std::unique_ptr<text::GrammarMatcher> matcher,
                           std::shared_ptr<MaskThread> masks, int64_t n_tokens)
    : masks_(std::move(masks)), work_(std::make_shared<Work>(std::move(matcher), n_tokens)) {
  begin();
}

MatcherAhead::~MatcherAhead() = default;

void MatcherAhead::begin() {
  if (masks_ == nullptr) return;
  masks_->begin(work_);
  begun_ = true;
}

void MatcherAhead::mask(std::span<float> logits) {
  if (begun_) {
    begun_ = false;
    work_->wait();
  } else {
    work_->work();
  }
  const size_t known = std::min(logits.size(), work_->mask.size());
  for (size_t i = 0; i < known; ++i)
    logits[i] = work_->mask[i] < 0 ? -std::numeric_limits<float>::infinity() : logits[i];
  std::ranges::fill(logits.subspan(known), -std::numeric_limits<float>::infinity());
}

namespace {

std::shared_ptr<MaskThread> mask_thread() {
  try {
    return std::make_shared<MaskThread>();
  } catch (const Error&) {  // then masks come when they are asked for
    return nullptr;
  }
}

class GrammarsAhead : public text::Grammars {
 public:
  GrammarsAhead(std::unique_ptr<text::Grammars> grammars, int64_t n_tokens)
      : grammars_(std::move(grammars)), n_tokens_(n_tokens) {}

  std::unique_ptr<text::GrammarMatcher> compile(text::GrammarKind kind,
                                                std::string_view definition) const override {
    return std::make_unique<MatcherAhead>(grammars_->compile(kind, definition), masks_, n_tokens_);
  }

 private:
  const std::unique_ptr<text::Grammars> grammars_;
  const int64_t n_tokens_;
  const std::shared_ptr<MaskThread> masks_ = mask_thread();
};

}  // namespace

std::unique_ptr<text::Grammars> with_masks_ahead(std::unique_ptr<text::Grammars> grammars,
                                                 int64_t n_tokens) {
  return std::make_unique<GrammarsAhead>(std::move(grammars), n_tokens);
}

bool MatcherAhead::accept(text::Token token) {
  if (std::exchange(begun_, false)) work_->wait();  // a token that was not chosen among these
  const bool goes_on = work_->matcher->accept(token);
  if (goes_on) begin();
  return goes_on;
}

}  // namespace sluice::server
