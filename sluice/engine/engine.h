#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/decode/append.h"
#include "sluice/engine/disk_cache/options.h"
#include "sluice/engine/disk_cache/report.h"
#include "sluice/engine/draft_governor.h"
#include "sluice/engine/pace.h"
#include "sluice/engine/scheduler_report.h"
#include "sluice/engine/step_log.h"
#include "sluice/models/load.h"
#include "sluice/nn/config.h"
#include "sluice/ops/context.h"
#include "sluice/residency/machine/governor.h"
#include "sluice/text/chat_template.h"
#include "sluice/text/tokenizer.h"

namespace sluice::engine {

class Engine;

struct EngineOptions {
  int n_threads = 0;       ///< 0: every processor this process may use
  int64_t context = 0;     ///< most tokens of a sequence; 0: what the model was trained for
  int64_t kv_reserve = 0;  ///< tokens whose KV blocks are allocated when the model opens
  models::LoadOptions load;
  int64_t chunk = 512;  ///< prompt tokens per step; never changes a result
  std::optional<text::ChatTemplate> chat_template = std::nullopt;  ///< unset: the model's own
  ops::Activations activations = ops::Activations::int8;

  /// What the whole process may take; unset: the files are mapped, and the system decides.
  std::optional<Bytes> ram;
  /// What the process has beside the model, as `ram` counts it, where that is known (shares.h); unset: it is measured.
  std::optional<Bytes> baseline;
  Bytes beside;  ///< what the caller will take of `ram` beside the engine, a server for its clients
  /// Sequences that will be kept at once, and the most tokens of each, when known: within a budget a context of 0
  /// becomes so large.
  int64_t n_sequences = 1;
  int64_t sequence_tokens = 0;
  /// Where keys and values go that `ram` has no room for, and come back from to the bit. Needs `ram`.
  residency::KvSpillOptions spill;
  /// What was computed is kept for prompts to come that begin alike, which takes a block of keys and values for each
  /// sequence, and no more than these bytes.
  bool keep_prefixes = true;
  Bytes prefix_cache = residency::KvPool::kNoCap;
  /// What is kept outlives the process, where it is not lossy by chance (skip_missing_experts).
  DiskCacheOptions disk_cache;
  Policy scheduling = Policy::balanced;
  Speculation speculation = Speculation::automatic;  ///< changes no result
  Guessers guessers = Guessers::all;                 ///< nor does this
  void speculate(const Speculating& as) {
    speculation = as.speculation;
    guessers = as.guessers;
  }
  std::shared_ptr<Engine> draft_model;  ///< guesses tokens, for nobody else; null: no model does

  /// Lossy, where above 0: of a longer prompt the keys and values of so many tokens stay once all of it is computed
  /// (decision 016). A multiple of 256.
  int64_t snap_kv = 0;
  /// Lossy: decoding does without a token's lesser experts that are not in memory. Needs `ram` and a model with experts.
  bool skip_missing_experts = false;

  // What follows changes no result. A model without experts refuses it, and one without a budget has no use for it
  // but for the trace.
  std::optional<residency::PolicyKind> policy;
  bool prefetch_experts = true;
  bool yield_memory = true;  ///< gives memory of experts back while the system is short of it
  std::filesystem::path
      expert_profile;  ///< how often experts are used: read if it is there, then written
  std::filesystem::path expert_trace;  ///< which experts are used, for replay
  std::filesystem::path
      cache;  ///< where what was measured of the disk is kept; empty: it is not measured
  io::ReaderOptions reader;  ///< of streamed weights; its timeline shows computing too

  /// Whether memory is counted: within a budget, or to plan one.
  bool counts_memory() const { return ram || load.mode == residency::LoadMode::headers; }
};

/// What `sluice inspect` shows of a tensor.
struct TensorSummary {
  std::string name;
  std::string type;
  std::vector<int64_t> shape;
  Bytes bytes;
};

/// The tokenizer of a model, without loading its weights. Throws Error(bad_model) when it has none.
std::unique_ptr<text::Tokenizer> open_tokenizer(const std::filesystem::path& path);
/// A model's chat template, likewise; nullopt when it has none.
std::optional<text::ChatTemplate> open_chat_template(const std::filesystem::path& path);

/// A loaded model. All computing happens on one thread of its own, which MLX's streams demand; every
/// method may be called from any thread, and waits for its turn between the steps of what is generated.
class Engine {
 public:
  /// path: a .gguf file or a directory with config.json and safetensors. LoadMode::headers: it can be described
  /// and planned for, and computes nothing.
  /// Throws Error: bad_model, unsupported, io, bad_request (a context the model cannot have).
  static std::unique_ptr<Engine> open(const std::filesystem::path& path,
                                      const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const nn::Config& config() const;
  /// What of the model's files is left out (what sees and hears), one line for a user; empty: nothing of note.
  std::string left_out() const;
  const EngineOptions& options() const;
  /// Most tokens of a sequence.
  int64_t context() const;
  /// "int8", "refined" or "float32": what quantized weights are multiplied with, as every result reports it.
  std::string_view activations() const;
  /// Whether --kv-type keeps less of keys and values than fits the weights.
  bool has_lossy_kv() const;
  /// Seconds that open() took.
  double load_seconds() const;
  Bytes file_bytes() const;
  uint64_t n_parameters() const;
  std::filesystem::path largest_file() const;
  Bytes kv_bytes() const;  ///< allocated for keys and values so far
  std::vector<TensorSummary> tensors() const;
  /// A GGUF's metadata as text, arrays shortened; empty for safetensors.
  std::vector<std::pair<std::string, std::string>> metadata() const;

  bool has_tokenizer() const;
  /// Throws Error(bad_model) when the checkpoint came without one.
  const text::Tokenizer& tokenizer() const;
  /// Null when the model has none (base models).
  const text::ChatTemplate* chat_template() const;

  /// Ids come from files and callers, and a tokenizer may know more of them than the model has embeddings: what takes
  /// tokens here checks them, who looks into logits by an id asks first. Throws Error(bad_request) for one that is not
  /// below config().vocab_size.
  void check_ids(std::span<const text::Token> tokens) const;

  /// Logits after every token from first_wanted on, of a fresh sequence; sink runs on the stream's thread.
  /// Throws Error(bad_request) when the tokens exceed the context or the vocabulary.
  void logits(std::span<const text::Token> tokens, int64_t first_wanted,
              const decode::LogitsSink& sink);

  /// The same from the last token of a prompt on, which the first n_prompt tokens are: EngineOptions::snap_kv prunes it.
  void logits_after(int64_t n_prompt, std::span<const text::Token> tokens,
                    const decode::LogitsSink& sink);

  /// What the layer that drafts tokens (models/mtp.h) says follows each of the tokens but the first, of a fresh sequence.
  /// Throws as logits(), and Error(bad_request) where the model has none or it is left out.
  void draft_logits(std::span<const text::Token> tokens, const decode::LogitsSink& sink);

  /// The n (at least 1) tokens that follow a fresh sequence, each the best one, as they come. Needs no tokenizer.
  void greedy(std::span<const text::Token> tokens, int64_t n,
              const std::function<void(text::Token)>& on_token);

  /// What it needs of memory to run. To be asked before anything is computed, of an engine opened with `ram` or
  /// LoadMode::headers.
  residency::Footprint footprint() const;
  /// The same as it would be opened within `ram`: without a layer that drafts, where that leaves too little.
  residency::Footprint footprint_within(Bytes ram) const;
  /// Tokens of a sequence whose keys and values stay in memory within `ram`: the context, or less where `spill` takes the rest.
  int64_t kept_tokens(const residency::Footprint& footprint, Bytes ram) const;
  /// How the budget was divided; null without one.
  const residency::ResidencyPlan* plan() const;
  /// What streaming weights did so far; nothing when all are mapped.
  std::optional<residency::StreamStatistics> statistics() const;
  /// How memory pressure changed the experts' memory; nothing when it may not.
  std::optional<residency::GovernorReport> governor() const;
  /// What was spilled; nothing where nothing can be.
  std::optional<residency::KvSpillReport> spilled() const;
  /// Bytes per second that the disk was measured to give; 0 when it was not.
  double disk_bandwidth() const;

  SchedulerReport scheduler() const;
  /// Of the last steps those behind that number, oldest first.
  std::vector<StepRecord> steps_after(int64_t number) const;

  /// What the disk cache did; nothing where there is none, or its folder cannot be used, which was told.
  std::optional<DiskCacheReport> disk_cache() const;
  /// Writes what the disk cache has to write, within that time.
  void flush_disk_cache(std::chrono::milliseconds most);

  /// Writes the trace and the profile that the options ask for. Throws Error(io).
  void finish();

  /// Weight bytes that computing one token reads: all matrices once, of the experts those it uses.
  Bytes bytes_active() const;
  Bytes expert_bytes_active() const;  ///< of these, the experts'

  struct Impl;
  Impl& impl() { return *impl_; }  ///< for this folder
  const Impl& impl() const { return *impl_; }

 private:
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::engine
