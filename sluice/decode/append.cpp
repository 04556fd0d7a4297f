#include "sluice/decode/append.h"

#include "sluice/decode/make_room.h"

namespace sluice::decode {

bool append(Stepper& stepper, nn::KvCache& kv, std::span<const int32_t> tokens,
            const AppendOptions& options, const LogitsSink& sink) {
  const ChunkLimits limits{options.chunk, stepper.max_logit_rows(), options.layer_tokens,
                           options.n_kept > 0 ? ops::kObserved : 0};
  const Choose choose = [&sink](int64_t position, std::span<const float> logits) {
    sink(position, logits);
    return 0;
  };
  for (int64_t begin = 0; begin < std::ssize(tokens);) {
    std::vector<std::vector<Row>> passes;
    for (const Chunk& chunk :
         group_of_chunks(begin, std::ssize(tokens), options.first_wanted, limits)) {
      const auto part =
          tokens.subspan(static_cast<size_t>(chunk.begin), static_cast<size_t>(chunk.n_tokens));
      passes.push_back(
          {{.kv = &kv,
            .tokens = {part.begin(), part.end()},
            .logits_from = chunk.n_tokens - chunk.n_logits,
            .n_kept = chunk.begin + chunk.n_tokens == std::ssize(tokens) ? options.n_kept : 0,
            .phase = options.phase,
            .choose = choose,
            .see_raw = options.see_raw,
            .cancel = options.cancel}});
      begin = chunk.begin + chunk.n_tokens;
    }
    begin_with_room(stepper, passes);
    for (const Outcome& outcome : stepper.finish()) {
      if (outcome.error) std::rethrow_exception(outcome.error);
      if (outcome.cancelled) return false;
    }
  }
  if (kv.will_prune()) kv.prune();
  return true;
}

}  // namespace sluice::decode
