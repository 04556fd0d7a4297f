#pragma once

#include <atomic>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "sluice/decode/chunks.h"
#include "sluice/nn/kv_cache.h"
#include "sluice/nn/model.h"
#include "sluice/ops/elementwise.h"

namespace sluice::decode {

/// Gets the logits that follow one position: float32 [vocab_size], valid during the call.
using LogitsSink = std::function<void(int64_t position, std::span<const float> logits)>;
/// Chooses the token that follows one sequence of a batch, by its logits, valid during the call.
using Choose = ops::ChooseRow;

/// Packs tokens into steps and evaluates them. Belongs to the engine's thread.
class Runner {
 public:
  struct Limits {
    Bytes logits{64 << 20};  ///< what the logits of one step may take
    /// So many tokens of a prompt pass a layer before the next one runs, whatever the chunk.
    int64_t layer_tokens = 0;
  };
  Runner(const nn::Model& model, const ops::Context& context, const Limits& limits)
      : model_(model), context_(context), limits_(limits) {}
  Runner(const nn::Model& model, const ops::Context& context) : Runner(model, context, Limits{}) {}

  struct Options {
    int64_t chunk = 512;       ///< tokens per step; does not change a bit of the result
    int64_t first_wanted = 0;  ///< index into `tokens` from which logits are wanted
    /// Ends the prefill when it becomes true, heard by the next task: within a layer.
    const std::atomic<bool>* cancel = nullptr;
  };

  /// Appends `tokens` to the sequence whose keys and values `cache` holds; calls sink in order for every
  /// wanted token. False when cancelled: the cache then holds what it did, or some of `tokens` more.
  /// Throws what a kernel met, and Error(io) when a model file changed; the cache is then unusable.
  bool run(nn::KvCache& cache, std::span<const int32_t> tokens, const Options& options,
           const LogitsSink& sink) const;

  /// A step whose first layers the stream has got. Evaluate `chosen` to have the rest computed too.
  struct Begun {
    /// Unset: all layers were computed, the step being long.
    std::optional<mx::array> first_layers;
    mx::array chosen;  ///< int32 [n]: the tokens that follow
  };
  /// Begins a step that appends tokens[i] to the sequence of caches[i]: at most max_logit_rows() of them. tokens:
  /// int32 [n], perhaps not computed yet. Each sequence gets the bits that run() would give it alone.
  Begun begin(std::span<nn::KvCache* const> caches, const mx::array& tokens, Choose choose) const;

  /// Throws what a kernel of a step that was waited for met, and Error(io) when a model file changed. False when the
  /// step was cancelled: what it computed is to be dropped.
  bool check() const;
  ops::ErrorSlot& errors() const { return context_.errors; }

  /// Logits that one step may keep.
  int64_t max_logit_rows() const;

 private:
  /// What a step computes of one sequence: tokens, of which those from first_logit on want logits.
  struct Part {
    nn::KvCache* cache;
    int64_t n_tokens;
    int64_t first_logit;
  };
  /// tokens: int32, of all parts. Room in the caches is made now.
  nn::Step make_step(std::span<const Part> parts, mx::array tokens) const;
  /// The steps that append the chunks of `tokens` to one sequence.
  std::vector<nn::Step> make_steps(nn::KvCache& cache, std::span<const int32_t> tokens,
                                   std::span<const Chunk> chunks) const;

  const nn::Model& model_;
  const ops::Context& context_;
  Limits limits_;
};

}  // namespace sluice::decode
