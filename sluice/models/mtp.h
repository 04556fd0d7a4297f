#pragma once

#include <mlx/array.h>

#include <memory>
#include <optional>
#include <vector>

#include "sluice/models/family.h"
#include "sluice/models/layers.h"
#include "sluice/nn/embedding.h"

namespace sluice::models {

/// One more layer that says what comes after the token that follows (multi-token prediction, DeepSeek-V3, arXiv:2412.19437,
/// section 2.2): of the state at a position, as the model's last layer gives it, before the final norm, and of the next
/// token. On its own output it goes on guessing. It has keys and values of its own, and takes the model's embedding and output
/// matrix where the files give it none.
class MtpLayer {
 public:
  /// What follows, of the rows that want logits: float32 [n, vocab_size]; and the states that the next guesses are made
  /// of: float32 [n, hidden_size].
  struct Said {
    mx::array logits, states;
  };

  /// config: the model's; the layer is like its last one that attends. w: all weights, the layer's under
  /// "model.layers.<n_layers>".
  MtpLayer(nn::Config config, const MtpForm& form, const nn::Weights& w);

  /// states: float32 [T, hidden_size]; step.tokens: the T tokens that follow them. Nothing where no row wants logits:
  /// keys and values were stored then.
  std::optional<Said> operator()(const mx::array& states, const nn::Step& step) const;

  const nn::KvLayout& kv_layout() const { return demands_.kept; }

 private:
  nn::Config config_;
  bool state_first_, hands_on_normed_;
  nn::Demands demands_;
  nn::Embedding embedding_;
  ops::Norm of_token_, of_state_;
  std::vector<ops::Projection> joined_;  // one
  PreNormLayer layer_;
  ops::Norm norm_;
  std::vector<ops::Projection> head_;  // one
};

/// Files the layer's tensors, as the family names them, under "model.layers.<n_layers>".
void name_mtp(nn::WeightTable& table, const MtpForm& form, int64_t n_layers);

/// Null where the files have none, or none that Sluice knows how to compute: then it is left out, as what of its tensors
/// nobody asks for tells.
std::unique_ptr<MtpLayer> make_mtp(const nn::Config& config, const MtpForm& form,
                                   nn::WeightTable& table);

}  // namespace sluice::models
