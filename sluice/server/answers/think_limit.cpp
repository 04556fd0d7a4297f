#include "sluice/server/answers/think_limit.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace sluice::server {
namespace {

class Limited : public engine::Constraint {
 public:
  Limited(std::shared_ptr<engine::Constraint> inner, ThinkLimit limit,
          const text::Tokenizer& tokenizer)
      : inner_(std::move(inner)),
        limit_(std::move(limit)),
        tokenizer_(tokenizer),
        thinks_(limit_.begun) {}

  void mask(std::span<float> logits) override {
    if (!is_due()) {
      if (inner_) inner_->mask(logits);
      return;
    }
    const auto next = static_cast<size_t>(limit_.then[n_forced_]);
    const float kept = logits[next];
    std::ranges::fill(logits, -std::numeric_limits<float>::infinity());
    logits[next] = std::max(kept, std::numeric_limits<float>::lowest());
  }

  bool accept(text::Token token) override {
    const bool was_due = is_due();
    if (was_due && ++n_forced_ == limit_.then.size()) {
      n_forced_ = 0;
      thinks_ = false;
      seen_.clear();
    } else if (!was_due) {
      follow(token);
    }
    return !inner_ || inner_->accept(token);
  }

 private:
  bool is_due() const { return thinks_ && n_thought_ >= limit_.tokens; }

  void follow(text::Token token) {
    if (thinks_) ++n_thought_;
    seen_ += tokenizer_.token_bytes(token, /*keep_special=*/true);
    const std::string& mark = thinks_ ? limit_.end : limit_.begin;
    if (seen_.find(mark) != std::string::npos) {
      thinks_ = !thinks_;
      seen_.clear();
    } else if (seen_.size() > mark.size()) {
      seen_.erase(0, seen_.size() - mark.size());
    }
  }

  const std::shared_ptr<engine::Constraint> inner_;
  const ThinkLimit limit_;
  const text::Tokenizer& tokenizer_;
  bool thinks_;
  int64_t n_thought_ = 0;
  size_t n_forced_ = 0;  // of what is to come, so much did
  std::string seen_;     // the end of what came
};

}  // namespace

std::shared_ptr<engine::Constraint> make_think_limit(std::shared_ptr<engine::Constraint> inner,
                                                     ThinkLimit limit,
                                                     const text::Tokenizer& tokenizer) {
  if (limit.then.empty()) return inner;
  return std::make_shared<Limited>(std::move(inner), std::move(limit), tokenizer);
}

}  // namespace sluice::server
