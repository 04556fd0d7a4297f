#pragma once

#include <type_traits>
#include <variant>

#include "sluice/nn/attention.h"
#include "sluice/nn/conv.h"
#include "sluice/nn/gated_delta.h"
#include "sluice/nn/latent_attention.h"
#include "sluice/nn/lightning.h"
#include "sluice/nn/mamba.h"
#include "sluice/nn/mamba2.h"

namespace sluice::nn {

/// What mixes tokens in a layer, whichever it has, with its norms and residual.
class Mixer {
 public:
  /// w: the layer. Its parts lie in self_attn, linear_attn, mamba or conv.
  Mixer(const Config& c, const LayerConfig& layer, const Weights& w, BlockNorms norms,
        Demands& demands);

  mx::array operator()(const mx::array& x, const Step& step) const {
    return std::visit(
        [&](const auto& part) {
          if constexpr (std::is_same_v<std::decay_t<decltype(part)>, NoMixer>) {
            return x;
          } else {
            return part(x, step);
          }
        },
        part_);
  }

 private:
  std::variant<Attention, LatentAttention, GatedDelta, Mamba2, Mamba, LightningAttention, ShortConv,
               NoMixer>
      part_;
};

}  // namespace sluice::nn
