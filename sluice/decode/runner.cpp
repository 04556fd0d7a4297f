#include "sluice/decode/runner.h"

#include <mlx/transforms.h>

#include <algorithm>
#include <utility>

namespace sluice::decode {
namespace {

std::span<const float> row(const mx::array& logits, int64_t i) {
  const auto vocab_size = static_cast<size_t>(logits.shape(1));
  return {logits.data<float>() + static_cast<size_t>(i) * vocab_size, vocab_size};
}

}  // namespace

nn::Step Runner::make_step(std::span<const Part> parts, mx::array tokens) const {
  std::vector<int64_t> positions;
  std::vector<int> rows;
  std::vector<std::vector<ops::SequenceKv>> groups(model_.kv_layout().groups.size());
  // For all of them, before one is changed: a step that does not fit fails as a whole.
  std::vector<residency::KvNeed> needs;
  for (const Part& part : parts) {
    for (const residency::KvNeed& need : part.cache->needs(part.n_tokens)) needs.push_back(need);
  }
  residency::KvReservation blocks = nn::reserve_or_throw(parts[0].cache->pool(), needs);
  for (const Part& part : parts) {
    const auto first_row = static_cast<int64_t>(positions.size());
    const int64_t position = part.cache->length();
    for (int64_t i = 0; i < part.n_tokens; ++i) {
      if (i >= part.first_logit) rows.push_back(static_cast<int>(positions.size()));
      positions.push_back(position + i);
    }
    auto views = part.cache->append(first_row, part.n_tokens, blocks);
    for (size_t g = 0; g < groups.size(); ++g) groups[g].push_back(std::move(views[g]));
  }
  std::vector<ops::KvView> kv;
  for (auto& group : groups)
    kv.push_back(std::make_shared<const std::vector<ops::SequenceKv>>(std::move(group)));
  const bool is_long = std::ssize(positions) > ops::kDecodeTokens;
  return nn::Step{
      .context = context_,
      .tokens = std::move(tokens),
      .positions = std::make_shared<const std::vector<int64_t>>(std::move(positions)),
      .kv = std::move(kv),
      .layout = model_.kv_layout(),
      .logit_rows = std::move(rows),
      .followed = false,
      .evaluate_layers = is_long,
      .moe_layers = std::make_shared<ops::MoeLayers>(),
      .angles = {},
      .first_layers = {},
  };
}

std::vector<nn::Step> Runner::make_steps(nn::KvCache& cache, std::span<const int32_t> tokens,
                                         std::span<const Chunk> chunks) const {
  std::vector<nn::Step> steps;
  for (const Chunk& chunk : chunks) {
    // Where no logits are wanted the last row's are computed and dropped.
    const Part part{&cache, chunk.n_tokens, chunk.n_tokens - std::max<int64_t>(1, chunk.n_logits)};
    if (!steps.empty()) steps.back().followed = true;
    steps.push_back(
        make_step({&part, 1}, mx::array(tokens.data() + chunk.begin,
                                        mx::Shape{static_cast<int>(chunk.n_tokens)}, mx::int32)));
  }
  if (steps.size() > 1) {
    // The logits come from the last step alone: nothing else would have the others store their keys and values.
    for (nn::Step& step : steps) step.evaluate_layers = true;
  }
  return steps;
}

bool Runner::check() const {
  const bool whole = context_.errors.rethrow();
  context_.weights.check_intact();
  return whole;
}

int64_t Runner::max_logit_rows() const {
  const auto bytes = static_cast<int64_t>(limits_.logits.count);
  return std::max<int64_t>(1, bytes / (4 * model_.config().vocab_size));
}

bool Runner::run(nn::KvCache& cache, std::span<const int32_t> tokens, const Options& options,
                 const LogitsSink& sink) const {
  const ops::CancelScope scope(context_.errors, options.cancel);
  const ChunkLimits limits{options.chunk, max_logit_rows(), limits_.layer_tokens};
  const int64_t n = std::ssize(tokens);
  for (int64_t begin = 0; begin < n;) {
    const auto chunks = group_of_chunks(begin, n, options.first_wanted, limits);
    std::optional<nn::KvCache> before;
    if (options.cancel != nullptr) before = cache;
    const mx::array logits = model_.forward(make_steps(cache, tokens, chunks));
    mx::eval(logits);
    if (!check()) {
      // No trim() would do: a block that replaces a shared one may lack the rows that skipped tasks were to copy.
      cache = *before;
      return false;
    }
    const Chunk& last = chunks.back();
    const int64_t position = cache.length() - last.n_logits;
    for (int64_t i = 0; i < last.n_logits; ++i) sink(position + i, row(logits, i));
    begin = last.begin + last.n_tokens;
  }
  return true;
}

Runner::Begun Runner::begin(std::span<nn::KvCache* const> caches, const mx::array& tokens,
                            Choose choose) const {
  std::vector<Part> parts;
  for (nn::KvCache* cache : caches) parts.push_back({cache, 1, 0});
  const nn::Step step = make_step(parts, tokens);
  mx::array chosen = ops::choose(context_, model_.forward({&step, 1}), std::move(choose));
  if (step.first_layers) mx::async_eval(*step.first_layers);
  return {step.first_layers, std::move(chosen)};
}

}  // namespace sluice::decode
