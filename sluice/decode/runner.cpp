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

mx::array Runner::evaluate(std::span<const nn::Step> steps) const {
  mx::array logits = model_.forward(steps);
  mx::eval(logits);
  check();
  return logits;
}

void Runner::check() const {
  context_.errors.rethrow();
  context_.weights.check_intact();
}

int64_t Runner::max_logit_rows() const {
  const auto bytes = static_cast<int64_t>(limits_.logits.count);
  return std::max<int64_t>(1, bytes / (4 * model_.config().vocab_size));
}

int64_t Runner::run(nn::KvCache& cache, std::span<const int32_t> tokens, const Options& options,
                    const LogitsSink& sink) const {
  const auto n = static_cast<int64_t>(tokens.size());
  int64_t done = 0;
  while (done < n) {
    if (options.cancel != nullptr && options.cancel->load()) break;
    std::vector<nn::Step> steps;
    const int64_t begin = done;
    int64_t position = 0, first = 0, count = 0;
    bool wanted = false;
    do {
      count = std::min(options.chunk, n - done);
      // A step that ends before the first wanted token needs no logits; its last row is computed and dropped.
      wanted = done + count > options.first_wanted;
      if (wanted)
        count = std::min(count,
                         std::max<int64_t>(1, options.first_wanted - done) + max_logit_rows() - 1);
      first = wanted ? std::max<int64_t>(0, options.first_wanted - done) : count - 1;
      position = cache.length();
      const Part part{&cache, count, first};
      if (!steps.empty()) steps.back().followed = true;
      steps.push_back(make_step(
          {&part, 1},
          mx::array(tokens.data() + done, mx::Shape{static_cast<int>(count)}, mx::int32)));
      done += count;
    } while (!wanted && done < n && done - begin + options.chunk <= limits_.layer_tokens);
    if (steps.size() > 1) {
      // The logits come from the last step alone: nothing else would have the others store their keys and values.
      for (nn::Step& step : steps) step.evaluate_layers = true;
    }
    const mx::array logits = evaluate(steps);
    for (int64_t i = first; wanted && i < count; ++i) sink(position + i, row(logits, i - first));
  }
  return done;
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
