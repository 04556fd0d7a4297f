#include "sluice/engine/budget.h"

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/residency/memory.h"

namespace sluice::engine {
namespace {

/// Code that was not called yet, stacks, page tables, MLX's buffers, what the allocators round up.
constexpr Bytes kRest{40 << 20};
/// Rows of the embedding on their way.
constexpr Bytes kStaging{4 << 20};

/// What a step of n_tokens has in memory at once beside weights, keys and values: float rows between
/// primitives and in them, the largest block's intermediate rows, a few tokens' logits.
Bytes activation_bytes(const nn::Config& c, int64_t n_tokens) {
  const int64_t heads = (c.n_heads + 2 * c.n_kv_heads) * c.head_dim;
  const int64_t k = c.router.n_experts_per_tok;
  const int64_t dense = 2 * std::max(c.intermediate_size, c.shared_expert_intermediate_size);
  const int64_t sparse =
      c.n_experts > 0 ? k * (2 * c.hidden_size + 2 * c.moe_intermediate_size) : 0;
  const int64_t floats =
      n_tokens * (8 * c.hidden_size + 3 * heads + std::max(dense, sparse)) + 4 * c.vocab_size;
  return {static_cast<uint64_t>(4 * floats)};
}

/// Keys and values: per token where all are seen, and as many blocks as a window and a step need.
void count_kv(const nn::KvLayout& layout, int64_t chunk, residency::Footprint& footprint) {
  for (const auto& group : layout.groups) {
    const auto block_tokens = static_cast<uint64_t>(kernels::kKvBlockTokens);
    if (group.window == 0) {
      footprint.kv_per_token =
          footprint.kv_per_token + Bytes{group.block_bytes.count / block_tokens};
      footprint.kv_fixed =
          footprint.kv_fixed + group.block_bytes;  // a snapshot's partly filled block
    } else {
      const auto tokens = static_cast<uint64_t>(group.window + chunk);
      footprint.kv_fixed.count += (tokens / block_tokens + 3) * group.block_bytes.count;
    }
  }
}

}  // namespace

residency::ResidencyPlan hold_weights_within(Bytes ram, Engine::Impl& engine) {
  if (engine.options.load.mode == residency::LoadMode::copy) {
    fail(ErrorKind::bad_request,
         "--load copy reads all of the model, --ram may not: leave one out");
  }
  residency::WeightStore& store = *engine.loaded.store;
  store.release_pages();
  residency::Footprint footprint = residency::footprint_of(engine.loaded.extents);
  count_kv(*engine.kv_layout, engine.options.chunk, footprint);
  footprint.baseline = residency::memory_state().resident + kRest;
  footprint.activations = activation_bytes(engine.loaded.model->config(),
                                           std::min(engine.options.chunk, engine.context));
  footprint.staging = kStaging;
  residency::ResidencyPlan plan =
      residency::plan_residency(footprint, ram, engine.context, {}, residency::uniform_reuse());
  if (plan.mapped) {
    store.release_pages(/*few=*/false);
  } else {
    store.stream(engine.loaded.extents, plan, engine.options.policy, {});
  }
  return plan;
}

}  // namespace sluice::engine
