#pragma once

#include <mlx/stream.h>

#include "sluice/engine/disk_cache/disk_prefixes.h"
#include "sluice/engine/draft_layer.h"
#include "sluice/engine/draft_model.h"
#include "sluice/engine/engine.h"
#include "sluice/engine/expert_records.h"
#include "sluice/engine/scheduler.h"
#include "sluice/engine/worker.h"
#include "sluice/models/load.h"
#include "sluice/residency/kv_pool.h"

namespace sluice::engine {

/// An engine's parts, in the order in which they depend on each other. `worker` comes last in life and
/// first in death: nothing runs any more when the rest goes.
struct Engine::Impl {
  explicit Impl(const EngineOptions& o, int n_threads)
      : options(o), pool(n_threads), kernels(kernels::kernels()) {}

  EngineOptions options;
  ThreadPool pool;
  const kernels::KernelTable& kernels;
  ops::ErrorSlot errors;
  ops::Scratch scratch;
  residency::KvPool kv_pool;
  models::LoadedModel loaded;
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::filesystem::path path;
  std::shared_ptr<const nn::KvLayout> kv_layout;
  std::optional<ops::Context> ops_context;
  std::optional<decode::Stepper> stepper;
  std::optional<residency::ResidencyPlan> plan;
  std::optional<residency::Governor> governor;
  std::optional<ExpertRecords> records;  ///< where there are experts
  /// Whether a token's first layers are computed while the one before is looked at, sometimes for nothing: not where
  /// weights would be read from disk for it, or experts recorded.
  bool runs_ahead = false;
  double disk_bandwidth = 0;
  int64_t context = 0;
  double load_seconds = 0;
  std::optional<decode::PrefixIndex> prefixes;
  std::optional<DiskPrefixes> disk;  ///< writes what `prefixes` holds, for a while after the end
  std::optional<DraftModel> draft_model;
  std::optional<DraftLayer> draft_layer;  ///< where the model has one and nothing else guesses
  std::optional<Scheduler> scheduler;
  Worker worker;

  nn::KvCache new_cache() { return nn::KvCache(kv_layout, kv_pool); }
  /// Who computes guesses; null: nobody.
  GuessMaker* maker();
  /// Has what computes made, once it is known where weights are.
  void make_scheduler();
  /// Does without where its folder cannot be used.
  void open_disk_cache();
  /// How prompts are cut.
  decode::AppendOptions append_options(int64_t first_wanted) const;
  /// The same of a whole prompt, of which the last token's logits are wanted.
  decode::AppendOptions prompt_options(int64_t n_tokens) const;
  /// Throws Error(bad_request) for ids outside the vocabulary and for more tokens than the context holds.
  void check_tokens(std::span<const text::Token> tokens) const;
  /// The first alone. what: who gives the ids, for the message.
  void check_ids(std::span<const text::Token> tokens, std::string_view what) const;
};

}  // namespace sluice::engine
