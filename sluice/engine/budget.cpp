#include "sluice/engine/budget.h"

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/io/disk_profile.h"
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
void count_kv(const nn::KvLayout& layout, int64_t step, residency::Footprint& footprint) {
  for (const auto& group : layout.groups) {
    const auto block_tokens = static_cast<uint64_t>(kernels::kKvBlockTokens);
    if (group.window == 0) {
      footprint.kv_per_token =
          footprint.kv_per_token + Bytes{group.block_bytes.count / block_tokens};
      footprint.kv_fixed =
          footprint.kv_fixed + group.block_bytes;  // a snapshot's partly filled block
    } else {
      const auto tokens = static_cast<uint64_t>(group.window + step);
      footprint.kv_fixed.count += (tokens / block_tokens + 3) * group.block_bytes.count;
    }
  }
}

}  // namespace

int64_t layer_tokens(const Engine::Impl& engine) {
  constexpr int64_t kMost = 4096;  // their rows wait in memory
  return std::max(std::min(engine.context, kMost), engine.options.chunk);
}

namespace {

/// The reader that suits the disk, where it may be measured.
io::ReaderOptions reader_for(Engine::Impl& engine) {
  io::ReaderOptions reader = engine.options.reader;
  if (engine.options.cache.empty()) return reader;
  const auto& files = engine.loaded.store->index().files;
  const auto largest = std::ranges::max_element(files, {}, &io::ModelFile::bytes);
  const io::DiskProfile disk = io::disk_profile(largest->path, engine.options.cache);
  reader.depth = disk.depth;
  reader.piece_bytes = disk.piece_bytes;
  reader.direct = disk.direct;
  engine.disk_bandwidth = disk.bytes_per_second;
  return reader;
}

/// Lets memory pressure take experts' slots, down to one token's.
void govern(const residency::ResidencyPlan& plan, Engine::Impl& engine) {
  uint64_t least = 0;
  for (const auto& layer : engine.loaded.extents.layers) {
    least += static_cast<uint64_t>(layer.n_experts_per_tok);
  }
  const auto slots = static_cast<uint64_t>(plan.expert_slots);
  if (slots <= least) return;
  const Bytes slot = plan.per_slot;
  auto source = std::make_shared<residency::PressureSource>();
  engine.governor.emplace(
      residency::GovernorLimits{{slots * slot.count},
                                {least * slot.count},
                                residency::default_headroom(residency::memory_state()),
                                slot},
      [source] { return source->read(); },
      [&store = *engine.loaded.store](Bytes target) { return store.resize_experts(target); });
}

}  // namespace

residency::ResidencyPlan hold_weights_within(Bytes ram, Engine::Impl& engine) {
  if (engine.options.load.mode == residency::LoadMode::copy) {
    fail(ErrorKind::bad_request,
         "--load copy reads all of the model, --ram may not: leave one out");
  }
  residency::WeightStore& store = *engine.loaded.store;
  const io::ReaderOptions reader = reader_for(engine);
  store.release_pages();
  residency::Footprint footprint = residency::footprint_of(engine.loaded.extents);
  count_kv(*engine.kv_layout, layer_tokens(engine), footprint);
  footprint.baseline = residency::memory_state().resident + kRest;
  if (engine.options.reader.timeline != nullptr)
    footprint.baseline = footprint.baseline + engine.options.reader.timeline->most_memory();
  footprint.activations = activation_bytes(engine.loaded.model->config(),
                                           std::min(engine.options.chunk, engine.context));
  // Of the chunks that wait while one passes the layer.
  const int64_t waiting = std::max<int64_t>(0, layer_tokens(engine) - engine.options.chunk);
  footprint.activations.count +=
      static_cast<uint64_t>(waiting * engine.loaded.model->config().hidden_size) * sizeof(float);
  footprint.staging = kStaging;
  residency::ResidencyPlan plan =
      residency::plan_residency(footprint, ram, engine.context, {}, residency::uniform_reuse());
  if (plan.mapped) {
    store.release_pages(/*few=*/false);
  } else {
    const EngineOptions& options = engine.options;
    store.stream(engine.loaded.extents, plan,
                 {.policy = options.policy.value_or(residency::kDefaultPolicy),
                  .prefetch_experts = options.prefetch_experts,
                  .reader = reader});
    if (engine.records) store.warm(engine.records->most_used(static_cast<int>(plan.expert_slots)));
    if (options.yield_memory) govern(plan, engine);
  }
  return plan;
}

}  // namespace sluice::engine
