#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/decode/append.h"
#include "sluice/decode/prefix_index.h"
#include "sluice/engine/guess_maker.h"
#include "sluice/models/mtp.h"
#include "sluice/nn/kv_cache.h"
#include "sluice/residency/kv_pool.h"

namespace sluice::engine {

/// The model's own layer that guesses ahead (models/mtp.h). It follows its sequences: of each position it is fed the state
/// that the model's last layer gave and the token that came next, so that its keys and values are those of the whole
/// text, also of what was accepted. A wrong guess leaves nothing in them.
class DraftLayer : public GuessMaker {
 public:
  struct Options {
    int64_t chunk = 512;  ///< tokens that it is fed at once
    Bytes kept;           ///< of keys and values that are held for prompts to come; 0: none
  };
  /// All outlive it.
  DraftLayer(const models::MtpLayer& layer, const nn::Config& config, const ops::Context& context,
             residency::KvPool& pool, const Options& options);

  std::unique_ptr<Guesses> guesses(std::string salt) override;
  bool follows() const override { return true; }
  bool give_up_kept(Bytes wanted) override { return kept_.evict(wanted); }
  void forget(std::string_view salt) override { kept_.drop(salt); }

  /// What it says follows each of tokens but the first, by the states of those before: float32 [tokens - 1, hidden_size].
  /// sink: gets the logits that follow each position from 1 on.
  void logits(std::span<const int32_t> tokens, std::span<const float> states,
              const decode::LogitsSink& sink);

  /// Bytes of states that it has in memory at once, beside weights, keys and values.
  static Bytes most_states(int64_t hidden_size, int64_t chunk, int64_t n_sequences);

 private:
  class Chain;
  /// Feeds tokens and the states before them; the last n_wanted want what follows.
  std::optional<models::MtpLayer::Said> run(nn::KvCache& kv, std::span<const int32_t> tokens,
                                            const mx::array& states, int64_t n_wanted) const;
  mx::array rows(std::span<const float> states) const;
  nn::KvCache new_cache() const { return {layout_, pool_}; }

  const models::MtpLayer& layer_;
  const ops::Context& context_;
  residency::KvPool& pool_;
  Options options_;
  int64_t hidden_size_;
  std::shared_ptr<const nn::KvLayout> layout_;
  decode::PrefixIndex kept_;  // by the tokens that states are followed by
};

}  // namespace sluice::engine
