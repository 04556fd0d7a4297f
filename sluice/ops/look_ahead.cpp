#include "sluice/ops/look_ahead.h"

#include <algorithm>
#include <array>
#include <vector>

namespace sluice::ops {

LookAhead::LookAhead(const Context& context, Scratch::Frame& frame, Layers later, int64_t n_tokens)
    : context_(context),
      frame_(frame),
      later_(later.first(std::min<size_t>(later.size(), kLayersGuessed))),
      n_tokens_(n_tokens) {}

void LookAhead::before(const float* x) {
  using residency::GuessFrom;
  constexpr std::array<GuessFrom, kLayersGuessed> kFrom{GuessFrom::input, GuessFrom::earlier_input};
  for (size_t i = 0; i < later_.size(); ++i) guess(*later_[i], kFrom[i], x);
}

bool LookAhead::guesses_next() const {
  return !later_.empty() && context_.weights.wants_guesses(later_[0]->router.weight);
}

void LookAhead::waiting(const float* part) { guess(*later_[0], residency::GuessFrom::part, part); }

void LookAhead::after(const float* out) { guess(*later_[0], residency::GuessFrom::output, out); }

void LookAhead::guess(const MoeSpec& layer, residency::GuessFrom from, const float* x) {
  if (!context_.weights.wants_guesses(layer.router.weight)) return;
  const kernels::Matrix router = context_.weights.acquire(layer.router.weight);
  Forms forms;
  forms.add(context_, router);
  const Rows rows = make_rows(context_, frame_, layer.router_pre ? layer.router_pre : layer.pre, x,
                              n_tokens_, router.cols, forms);
  const Choice choice = choose(context_, frame_, layer.routing, layer.router, router, rows);
  const int64_t k = layer.routing.n_experts_per_tok;
  std::vector<int> guesses;
  for (int64_t rank = 0; rank < k; ++rank) {
    for (int64_t t = 0; t < n_tokens_; ++t) {
      const int id = choice.ids[t * k + rank];
      if (id != kNoExpert && std::ranges::find(guesses, id) == guesses.end()) guesses.push_back(id);
    }
  }
  context_.weights.guess_experts(layer.layer, from, guesses);
}

}  // namespace sluice::ops
