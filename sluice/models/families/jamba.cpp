#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::jamba {
namespace {

constexpr MambaKeys kMambaKeys{"mamba_d_state", "mamba_dt_rank", "mamba_d_conv"};

/// Whether layer i is one of those every `period`-th from `offset` on.
struct Every {
  int64_t period, offset;
  bool operator()(int64_t i) const { return i % period == offset; }
};

Every read_every(const Source& s, const std::string& kind, int64_t period, int64_t offset) {
  const Every every{s.integer({kind + "_layer_period", ""}).value_or(period),
                    s.integer({kind + "_layer_offset", ""}).value_or(offset)};
  if (every.period < 1)
    fail(ErrorKind::bad_model, "{}: {}_layer_period is 0, wanted more", s.where(), kind);
  return every;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.any_layers = true});
  const nn::MambaConfig mamba =
      read_mamba(s, c, kMambaKeys, s.integer({"mamba_expand", ""}).value_or(2) * c.hidden_size);
  const Every attends = read_every(s, "attn", 8, 4), sparse = read_every(s, "expert", 2, 1);
  const auto types = s.strings({"layers_block_type", ""});
  if (types && std::ssize(*types) != c.n_layers)
    fail(ErrorKind::bad_model, "{}: layers_block_type has {} entries for {} layers", s.where(),
         types->size(), c.n_layers);
  for (const char* told : {"num_logits_to_keep", "use_mamba_kernels"}) s.ignore({told, ""});
  s.ignore({"", "%.rope.dimension_count"});
  const auto kv_heads = s.integers_of_layers({"", "%.attention.head_count_kv"}, c.n_layers, 0);
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const auto at = static_cast<size_t>(i);
    nn::LayerConfig& layer = c.layers[at];
    const std::string router = fmt::format("model.layers.{}.mlp.gate.weight", i);
    const bool is_sparse = s.is_gguf() ? w.find(router) != nullptr : sparse(i);
    if (nn::MoeConfig* const moe = layer.moe()) {
      moe->router.scoring = ops::RouterSpec::Scoring::softmax_then_top_k;
      if (!is_sparse || moe->n_experts == 1) layer.feed_forward = nn::MlpConfig(moe->expert);
    }
    layer.attention()->rope = {.kind = nn::RopeConfig::Kind::none};
    const bool does = s.is_gguf() ? kv_heads[at] > 0
                      : types     ? (*types)[at] == "attention"
                                  : attends(i);
    if (!does) layer.mixer = mamba;
  }
  return c;
}

constexpr TensorName kTensors[] = {{"model.final_layernorm.", "model.norm."},
                                   {".pre_ff_layernorm.", ".post_attention_layernorm."},
                                   {".feed_forward.router.", ".mlp.gate."},
                                   {".feed_forward.", ".mlp."}};
constexpr std::string_view kNames[] = {"jamba"};

}  // namespace

// Jamba, arXiv:2403.19887; as mlx-lm 0.32.2 models/jamba.py, but as published (transformers' and llama.cpp's too) layers are
// sparse from an offset on, and an expert's weight is its share of all experts, not of the chosen ones.
// Mamba with norms of dt, B and C in most layers, attention without positions in some, experts in every second.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::jamba
