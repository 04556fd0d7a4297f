#include "sluice/decode/runner.h"

#include <mlx/transforms.h>

#include <algorithm>
#include <numeric>

namespace sluice::decode {
namespace {

/// Logits of a step are kept below this: a vocabulary of 262,144 makes 1 MB of each token.
constexpr int64_t kMaxLogitsBytes = 64 << 20;

/// Steps longer than this are evaluated layer by layer, to bound their activations.
constexpr size_t kWholeGraphTokens = 16;

}  // namespace

void Runner::run_step(nn::KvCache& cache, std::span<const int32_t> tokens, size_t first_logit,
                      const LogitsSink& sink) const {
  const int64_t position = cache.length();
  const auto n = static_cast<int64_t>(tokens.size());
  std::vector<int64_t> positions(tokens.size());
  std::iota(positions.begin(), positions.end(), position);
  std::vector<ops::KvView> views;
  for (ops::SequenceKv& group : cache.append(0, n)) {
    views.push_back(std::make_shared<const std::vector<ops::SequenceKv>>(1, std::move(group)));
  }
  std::vector<int> rows(tokens.size() - first_logit);
  std::iota(rows.begin(), rows.end(), static_cast<int>(first_logit));
  const nn::Step step{
      .context = context_,
      .tokens = mx::array(tokens.begin(), {static_cast<int>(n)}, mx::int32),
      .positions = std::make_shared<const std::vector<int64_t>>(std::move(positions)),
      .kv = std::move(views),
      .layout = model_.kv_layout(),
      .logit_rows = std::move(rows),
      .evaluate_layers = tokens.size() > kWholeGraphTokens,
      .angles = {},
  };
  mx::array logits = model_.forward(step);
  mx::eval(logits);
  context_.errors.rethrow();
  context_.weights.check_intact();
  const auto vocab = static_cast<size_t>(logits.shape(1));
  for (size_t i = first_logit; i < tokens.size(); ++i) {
    sink(position + static_cast<int64_t>(i),
         {logits.data<float>() + (i - first_logit) * vocab, vocab});
  }
}

int64_t Runner::run(nn::KvCache& cache, std::span<const int32_t> tokens, const Options& options,
                    const LogitsSink& sink) const {
  const auto n = static_cast<int64_t>(tokens.size());
  const int64_t logit_rows =
      std::max<int64_t>(1, kMaxLogitsBytes / (4 * model_.config().vocab_size));
  int64_t done = 0;
  while (done < n) {
    if (options.cancel != nullptr && options.cancel->load()) break;
    int64_t count = std::min(options.chunk, n - done);
    // A step that ends before the first wanted token needs no logits; its last row is computed and dropped.
    const bool wanted = done + count > options.first_wanted;
    if (wanted)
      count = std::min(count, std::max<int64_t>(1, options.first_wanted - done) + logit_rows - 1);
    const int64_t first = wanted ? std::max<int64_t>(0, options.first_wanted - done) : count - 1;
    run_step(
        cache, tokens.subspan(static_cast<size_t>(done), static_cast<size_t>(count)),
        static_cast<size_t>(first), wanted ? sink : [](int64_t, std::span<const float>) {});
    done += count;
  }
  return done;
}

}  // namespace sluice::decode
