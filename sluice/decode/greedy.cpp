#include "sluice/decode/greedy.h"

#include <algorithm>

#include "sluice/decode/make_room.h"
#include "sluice/decode/sampler.h"

namespace sluice::decode {
namespace {

std::vector<Row> rows_of(std::span<nn::KvCache* const> caches, std::span<const int32_t> tokens) {
  std::vector<Row> rows;
  for (size_t i = 0; i < caches.size(); ++i) {
    Row row{.kv = caches[i], .phase = Phase::decode};
    row.choose = [](int64_t, std::span<const float> logits) { return best_token(logits); };
    if (tokens.empty()) {
      row.from = i;
    } else {
      row.tokens = {tokens[i]};
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

void continue_greedily(Stepper& stepper, std::span<nn::KvCache* const> caches,
                       std::vector<int32_t> tokens, int64_t n, bool ahead,
                       const std::function<void(std::span<const int32_t>)>& on_step) {
  const auto at_once = static_cast<size_t>(stepper.max_logit_rows());
  const bool may_spill = !caches.empty() && caches[0]->pool().spill() != nullptr;
  ahead = ahead && !may_spill && std::ssize(caches) <= stepper.max_ahead();
  for (int64_t left = n; left > 0; --left) {
    for (size_t first = 0; first < caches.size(); first += at_once) {
      const auto some = caches.subspan(first, std::min(at_once, caches.size() - first));
      const std::span<int32_t> of = std::span(tokens).subspan(first, some.size());
      if (stepper.in_flight() == 0) begin_with_room(stepper, {rows_of(some, of)});
      if (ahead && left > 1) stepper.begin({rows_of(some, {})});
      const std::vector<Outcome> outcomes = stepper.finish();
      for (size_t i = 0; i < some.size(); ++i) {
        if (!outcomes[i].error) {
          of[i] = outcomes[i].tokens[0];
          continue;
        }
        stepper.give_up();
        std::rethrow_exception(outcomes[i].error);
      }
    }
    on_step(tokens);
  }
}

}  // namespace sluice::decode
