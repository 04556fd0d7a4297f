#include "sluice/nn/mixer.h"

#include "sluice/base/error.h"

namespace sluice::nn {
namespace {

struct Make {
  const Config& c;
  const Weights& w;
  BlockNorms& norms;
  Demands& demands;
  using Part = std::variant<Attention, LatentAttention, GatedDelta, Mamba2, Mamba,
                            LightningAttention, ShortConv, NoMixer>;

  Part operator()(const AttentionConfig& a) const {
    return Attention(c, a, w["self_attn"], std::move(norms), demands);
  }
  Part operator()(const LatentAttentionConfig& a) const {
    return LatentAttention(c, a, w["self_attn"], std::move(norms), demands);
  }
  Part operator()(const CompressedAttentionConfig&) const {
    fail(ErrorKind::internal, "{}: compressed rows are for layers that share them", w.path());
  }
  Part operator()(const GatedDeltaConfig& g) const {
    const bool as_attention = w["self_attn"]["b_proj"].has();  // Kimi's files
    return GatedDelta(c, g, w[as_attention ? "self_attn" : "linear_attn"], std::move(norms),
                      demands);
  }
  Part operator()(const Mamba2Config& m) const {
    return Mamba2(c, m, w["mamba"], std::move(norms), demands);
  }
  Part operator()(const MambaConfig& m) const {
    return Mamba(c, m, w["mamba"], std::move(norms), demands);
  }
  Part operator()(const LightningConfig& a) const {
    return LightningAttention(c, a, w["self_attn"], std::move(norms), demands);
  }
  Part operator()(const NoMixer&) const { return NoMixer{}; }
  Part operator()(const ShortConvConfig& s) const {
    return ShortConv(c, s, w["conv"], std::move(norms), demands);
  }
};

}  // namespace

Mixer::Mixer(const Config& c, const LayerConfig& layer, const Weights& w, BlockNorms norms,
             Demands& demands)
    : part_(std::visit(Make{c, w, norms, demands}, layer.mixer)) {}

}  // namespace sluice::nn
