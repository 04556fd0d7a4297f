#include "sluice/engine/budget.h"

#include <mlx/memory.h>

#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/decode/match_drafter.h"
#include "sluice/engine/activations.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/io/reads/aligned_span.h"
#include "sluice/io/reads/disk_profile.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::engine {

int64_t layer_tokens(const Engine::Impl& engine) {
  constexpr int64_t kMost = 4096;  // their rows wait in memory
  // What a step reads and writes is not in few bits, nor spilled: a small part of a context whose rest is.
  constexpr int64_t kLeast = 1024;
  const nn::KvLayout& layout = *engine.kv_layout;
  const bool is_small = layout.group_of_codes() || !engine.options.spill.folder.empty();
  const int64_t most = is_small ? std::clamp(engine.context / 16, kLeast, kMost)
                       : layout.is_bounded()
                           ? std::clamp(engine.options.load.max_kv_size, kLeast, kMost)
                           : kMost;
  return std::max(std::min(engine.context, most), engine.options.chunk);
}

Bytes logits_within_budget(const Engine::Impl& engine) {
  constexpr uint64_t kLeast = 4 << 20;
  const auto row = static_cast<uint64_t>(4 * engine.loaded.model->config().vocab_size);
  const bool guesses = engine.options.speculation != Speculation::off;
  const int64_t n_rows =
      std::max(engine.options.n_sequences, guesses ? 1 + DraftGovernor::kMostGuesses : 1);
  return {std::max(kLeast, row * static_cast<uint64_t>(n_rows))};
}

namespace {

/// The most tokens of a sequence whose blocks a step may read and write.
int64_t step_tokens(const Engine::Impl& engine) {
  return std::min(layer_tokens(engine), engine.context);
}

/// The most tokens whose blocks attention goes over.
int64_t attended_tokens(const Engine::Impl& engine) {
  int64_t most = 0;
  for (const auto& group : engine.kv_layout->groups) {
    if (group.recurrent) continue;
    const int64_t seen = group.window == 0
                             ? engine.context
                             : group.window + step_tokens(engine) + kernels::kKvBlockTokens;
    most = std::max(most, std::min(engine.context, seen));
  }
  return most;
}

/// Code and constants of the program and its libraries, once all of it was called that will be: 24 MB. What is there
/// at any time is no measure: it comes in from the page cache, and differs by 2 MB from one start to the next.
constexpr Bytes kCode{28 << 20};
/// What allocators round up.
constexpr Bytes kRest{4 << 20};
/// The most of MLX's freed arrays.
constexpr Bytes kMlxCache{8 << 20};
/// For each thing that is read by itself: where it is, and who waits for it.
constexpr Bytes kBook{1 << 10};
/// What a token's logits become on their way to a sampled token.
constexpr int64_t kSamplingBytes = 24;

/// The baseline is told in steps so large, so that the same command gets the same plan each time.
constexpr uint64_t kStep = 1 << 20;
Bytes in_steps(Bytes bytes) { return {(bytes.count + kStep - 1) / kStep * kStep}; }

/// Keys and values: per token where all are seen, and the blocks of windows and snapshots.
void count_kv(const Engine::Impl& engine, const nn::KvLayout& layout,
              residency::Footprint& footprint) {
  constexpr uint64_t kBlock = kernels::kKvBlockTokens;
  const EngineOptions& options = engine.options;
  const auto n = static_cast<uint64_t>(options.n_sequences);
  for (const auto& group : layout.groups) {
    int64_t fixed = options.keep_prefixes ? nn::snapshot_blocks(group, engine.context) : 0;
    if (group.window == 0 && !group.recurrent) {
      footprint.kv_per_token.count += group.block_bytes.count * n / kBlock;
    } else {
      fixed += nn::most_blocks(group, engine.context, step_tokens(engine));
    }
    fixed += nn::n_kept_blocks(group, engine.options.snap_kv);
    footprint.kv_fixed.count += group.block_bytes.count * n * static_cast<uint64_t>(fixed);
  }
}

/// Rows of a streamed embedding on their way: as they are read, and as they are wanted.
Bytes embedding_bytes(const residency::ModelExtents& model, int64_t n_tokens) {
  const auto n = static_cast<uint64_t>(n_tokens), rows = static_cast<uint64_t>(model.head.rows());
  const uint64_t at_once = std::min<uint64_t>(n, residency::WeightStore::kRowsAtOnce);
  Bytes sum;
  for (const io::Extent& extent :
       model.embedding.empty() ? residency::extents_of(model.head) : model.embedding) {
    const uint64_t row = extent.bytes / rows;
    sum.count += (row / io::kDirectAlignment + 2) * io::kDirectAlignment * at_once + row * n;
  }
  return sum;
}

/// What guessing keeps of timelines.
Bytes drafter_bytes(const Engine::Impl& engine) {
  if (engine.options.speculation == Speculation::off) return {};
  const int64_t n_tokens = engine.context * engine.options.n_sequences;
  return {static_cast<uint64_t>(n_tokens) * decode::MatchDrafter::kTokenBytes.count};
}

/// What the reader, the slots and their policy keep of each part and expert, and what guesses know of tokens.
Bytes book_bytes(const residency::ModelExtents& model) {
  uint64_t things = 0, experts = 0;
  for (const auto& layer : model.layers) {
    things += layer.dense.size() + layer.experts.size();
    experts += layer.experts.size();
  }
  const Bytes of_tokens = experts > 0 ? residency::token_experts(model).memory() : Bytes{};
  return Bytes{things * kBook.count} + of_tokens;
}

StepSize step_of(const Engine::Impl& engine) {
  const EngineOptions& options = engine.options;
  const models::LoadedModel& loaded = engine.loaded;
  const int64_t chunk = std::min(options.chunk, engine.context);
  const int64_t vocab_size = loaded.model->config().vocab_size;
  const Bytes sampled{static_cast<uint64_t>((4 + kSamplingBytes) * vocab_size)};
  const bool prunes = options.snap_kv > 0;
  return {.n_tokens = std::max(chunk, options.n_sequences) + (prunes ? ops::kObserved : 0),
          .n_waiting = std::max<int64_t>(0, layer_tokens(engine) - chunk),
          .attended = attended_tokens(engine),
          .spills = !options.spill.folder.empty(),
          .prunes = prunes,
          .n_threads = engine.pool.size(),
          .all_int8 = loaded.only_int8 && options.activations != ops::Activations::float32,
          .logits = std::max(sampled, logits_within_budget(engine)),
          .strip = loaded.strip,
          .embedding = embedding_bytes(loaded.extents, chunk)};
}

/// Half of what spilled parts are read into: some of them, and at least what a layer has of one stretch.
Bytes stage_half(const nn::KvLayout& layout) {
  constexpr uint64_t kParts = 16, kMost = 8 << 20;
  uint64_t stretch = 0;
  for (const auto& group : layout.groups) {
    uint64_t largest = 0;
    for (const residency::KvPart& part : group.parts)
      largest = std::max(largest, io::aligned_span(part.offset, part.bytes).bytes);
    if (!group.recurrent) stretch += largest;
  }
  return {std::max(stretch, std::min(kMost, kParts * stretch))};
}

/// Stretches that are spilled at once, at most: what the limit allows, or several times what sequences have, the rest of
/// which nobody uses.
uint64_t spilled_stretches(const Engine::Impl& engine) {
  constexpr uint64_t kTimes = 8;
  const auto of_sequences = static_cast<uint64_t>((engine.context / kernels::kKvBlockTokens + 1) *
                                                  engine.options.n_sequences);
  uint64_t stretch = 1;
  for (const auto& group : engine.kv_layout->groups) {
    if (!group.recurrent) stretch += group.block_bytes.count;
  }
  return std::min(kTimes * of_sequences, engine.options.spill.limit.count / stretch + 1);
}

/// What spilling takes itself: parts on their way, and what is known of each block in the file.
Bytes spill_bytes(const Engine::Impl& engine) {
  if (engine.options.spill.folder.empty()) return {};
  constexpr uint64_t kOfBlock = 512, kOfPart = 48;
  uint64_t stretch = 0;
  for (const auto& group : engine.kv_layout->groups)
    stretch += kOfBlock + kOfPart * group.parts.size();
  return Bytes{2 * stage_half(*engine.kv_layout).count + spilled_stretches(engine) * stretch};
}

/// Has the pool spill what it has no room for.
void spill_kv(Engine::Impl& engine) {
  residency::KvSpillOptions options = engine.options.spill;
  if (options.folder.empty()) return;
  options.most_blocks = spilled_stretches(engine) * engine.kv_layout->groups.size();
  engine.kv_pool.spill_to(options, stage_half(*engine.kv_layout));
}

/// Freed arrays that MLX keeps for reuse.
Bytes mlx_cache(const Engine::Impl& engine) {
  return std::min(kMlxCache, array_bytes(engine.loaded.model->step_demands(), step_of(engine)));
}

/// The reader that suits the disk, where it may be measured.
io::ReaderOptions reader_for(Engine::Impl& engine) {
  io::ReaderOptions reader = engine.options.reader;
  if (engine.options.cache.empty()) return reader;
  const io::DiskProfile disk =
      io::disk_profile(engine.loaded.store->index().largest_file(), engine.options.cache);
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

Bytes process_baseline() { return in_steps(residency::memory_state().own + kRest) + kCode; }

residency::Footprint footprint_of(const Engine::Impl& engine, bool drafts) {
  const models::LoadedModel& loaded = engine.loaded;
  loaded.store->release_pages();
  residency::Footprint footprint =
      residency::footprint_of(drafts ? loaded.extents_with_mtp : loaded.extents);
  count_kv(engine, *engine.kv_layout, footprint);
  footprint.baseline = engine.options.baseline.value_or(process_baseline() + engine.options.beside);
  footprint.activations = activation_bytes(loaded.model->step_demands(), step_of(engine)) +
                          mlx_cache(engine) + spill_bytes(engine);
  footprint.staging = book_bytes(loaded.extents) + drafter_bytes(engine);
  if (drafts) {
    count_kv(engine, loaded.mtp->kv_layout(), footprint);
    footprint.activations = footprint.activations +
                            DraftLayer::most_states(loaded.model->config().hidden_size,
                                                    std::min(engine.options.chunk, engine.context),
                                                    engine.options.n_sequences);
  }
  if (engine.options.baseline) return footprint;
  if (engine.options.reader.timeline != nullptr)
    footprint.baseline = footprint.baseline + engine.options.reader.timeline->most_memory();
  if (!engine.options.disk_cache.folder.empty())
    footprint.baseline = footprint.baseline + DiskPrefixes::kMemory;
  return footprint;
}

int64_t kept_tokens(const Engine::Impl& engine, const residency::Footprint& footprint, Bytes ram) {
  constexpr int64_t kBlock = kernels::kKvBlockTokens;
  const auto fits = [&](int64_t n) { return residency::mapped_budget(footprint, n) <= ram; };
  if (engine.options.spill.folder.empty() || fits(engine.context)) return engine.context;
  int64_t least = std::min(engine.context, step_tokens(engine) + 2 * kBlock);
  for (int64_t most = engine.context; most - least > kBlock;) {
    const int64_t middle = least + (most - least) / 2 / kBlock * kBlock;
    if (middle == least) break;
    (fits(middle) ? least : most) = middle;
  }
  return least;
}

bool mtp_fits(const Engine::Impl& engine, Bytes ram) {
  return engine.loaded.mtp != nullptr &&
         residency::mapped_budget(footprint_of(engine, true), engine.context) <= ram;
}

void preallocate_kv(int64_t n_tokens, Engine::Impl& engine) {
  if (n_tokens < 0 || n_tokens > engine.context) {
    fail(ErrorKind::bad_request, "--kv-reserve is {}, it must be from 0 to the context, {}",
         n_tokens, engine.context);
  }
  std::vector<residency::KvNeed> needs;
  for (const auto& group : engine.kv_layout->groups) {
    needs.push_back({group.block_bytes, nn::most_blocks(group, n_tokens, step_tokens(engine))});
  }
  engine.kv_pool.preallocate(needs);
}

residency::ResidencyPlan hold_weights_within(Bytes ram, Engine::Impl& engine) {
  if (engine.options.load.mode == residency::LoadMode::copy) {
    fail(ErrorKind::bad_request,
         "--load copy reads all of the model, --ram may not: leave one out");
  }
  if (!mtp_fits(engine, ram)) engine.loaded.drop_mtp();
  residency::WeightStore& store = *engine.loaded.store;
  const io::ReaderOptions reader = reader_for(engine);
  mx::set_cache_limit(mlx_cache(engine).count);
  const residency::Footprint footprint = footprint_of(engine, engine.loaded.mtp != nullptr);
  residency::ResidencyPlan plan = residency::plan_residency(
      footprint, ram, kept_tokens(engine, footprint, ram), {}, residency::uniform_reuse());
  engine.kv_pool.set_cap(plan.kv);
  spill_kv(engine);
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
