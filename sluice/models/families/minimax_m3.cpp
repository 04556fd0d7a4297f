#include <cmath>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::minimax_m3 {
namespace {

/// Whether layer i is as a list says: of names, or (older files) of flags. All are where there is none.
std::function<bool(int64_t)> listed(const Source& s, const std::string& names,
                                    std::string_view not_it, const std::string& flags) {
  const auto of_names = s.strings({names, ""});
  const auto of_flags = s.numbers({flags, ""});
  return [of_names, of_flags, not_it](int64_t layer) {
    const auto i = static_cast<size_t>(layer);
    if (of_names) return i < of_names->size() && (*of_names)[i] != not_it;
    return !of_flags || (i < of_flags->size() && (*of_flags)[i] != 0);
  };
}

/// What chooses blocks of keys; each of its heads does for a group of query heads.
void read_index(nn::Config& c, const Source& s) {
  const auto number = [&](const char* nested, const char* flat, const char* gguf) {
    const auto inner = s.integer({std::string("sparse_attention_config/") + nested, gguf});
    const auto outer = s.integer({flat, ""});
    return inner ? inner : outer;
  };
  nn::IndexConfig index;
  const auto unit =
      number("sparse_block_size", "index_block_size", "%.attention.indexer.block_size");
  index.n_heads =
      number("sparse_num_index_heads", "index_n_heads", "%.attention.indexer.head_count")
          .value_or(0);
  index.head_dim =
      number("sparse_index_dim", "index_head_dim", "%.attention.indexer.key_length").value_or(0);
  index.k =
      number("sparse_topk_blocks", "index_topk_blocks", "%.attention.indexer.top_k").value_or(0);
  index.n_local =
      number("sparse_local_block", "index_local_blocks", "%.attention.indexer.local_blocks")
          .value_or(1);
  const auto sparse = listed(s, "layer_types", "full_attention",
                             s.is_array({"sparse_attention_freq", ""})
                                 ? "sparse_attention_freq"
                                 : "sparse_attention_config/sparse_attention_freq");
  s.ignore({"sparse_attention_config", ""});
  if (!unit) return;
  index.unit = *unit;
  for (int64_t i = 0; i < c.n_layers; ++i) {
    nn::AttentionConfig& a = *c.layers[static_cast<size_t>(i)].attention();
    if (s.is_gguf() ? c.layers[static_cast<size_t>(i)].moe() == nullptr : !sparse(i)) continue;
    if (index.unit < 1 || index.k < 1 || index.n_heads < 1 || a.n_heads % index.n_heads != 0 ||
        index.head_dim < 1 || index.head_dim > kMaxHeadDim || index.n_local > index.k) {
      fail(ErrorKind::bad_model, "{}: {} blocks of {}, chosen by {} heads of {} for {}", s.where(),
           index.k, index.unit, index.n_heads, index.head_dim, a.n_heads);
    }
    a.index = index;
    a.index.rope = a.rope;
    a.index.rope.dims = std::min(a.rope.dims, index.head_dim);
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  const Defaults defaults{
      .n_kv_heads = 4,
      .head_dim = 128,
      .own_activation = "swigluoai",
      .renormalize = true,
      .rope_theta = 5e6,
      .rotary_share = 0.5,
      .is_sparse = s.is_gguf() ? nullptr : listed(s, "mlp_layer_types", "dense", "moe_layer_freq"),
      .any_layers = true};
  nn::Config c = read_decoder(s, w, defaults);
  if (s.boolean({"use_gemma_norm", ""}).value_or(!s.is_gguf())) c.norm_weight_offset = 1;
  const auto rotated = s.integer({"rotary_dim", ""});
  const auto dense = s.integer({"dense_intermediate_size", ""});
  const auto shared = s.integer({"shared_intermediate_size", ""});
  const double alpha = s.number({"swiglu_alpha", ""}).value_or(1.702);
  const auto limit = static_cast<float>(s.number({"swiglu_limit", ""}).value_or(7.0));
  const auto scale = s.number({"routed_scaling_factor", "%.expert_weights_scale"})
                         .value_or(s.is_gguf() ? 1.0 : 2.0);
  if (std::abs(alpha - 1.702) > 1e-6)
    fail(ErrorKind::unsupported, "{}: swiglu_alpha is {}, supported is 1.702", s.where(), alpha);
  for (nn::LayerConfig& layer : c.layers) {
    nn::AttentionConfig& a = *layer.attention();
    if (rotated && *rotated <= a.head_dim) a.rope.dims = *rotated;
    layer.mlp().activation = kernels::Activation::swiglu_clipped;
    layer.mlp().activation_limit = limit;
    if (nn::MoeConfig* const moe = layer.moe()) {
      if (!s.is_gguf())
        moe->shared_intermediate_size = shared.value_or(moe->expert.intermediate_size);
      moe->router.scoring = ops::RouterSpec::Scoring::sigmoid_then_top_k;
      moe->router.least_sum = 1e-20F;
      moe->router.weight_scale = static_cast<float>(scale);
    } else if (dense) {
      layer.mlp().intermediate_size = *dense;
    }
  }
  read_index(c, s);
  for (const char* told : {"use_qk_norm", "qk_norm_type", "use_routing_bias", "num_mtp_modules"})
    s.ignore({told, ""});
  return c;
}

constexpr TensorName kTensors[] = {
    {".block_sparse_moe.e_score_correction_bias", ".mlp.gate.e_score_correction_bias"},
    {".block_sparse_moe.", ".mlp."},
    {".mlp.shared_experts.", ".mlp.shared_expert."},
    {".self_attn.index_q_proj.", ".self_attn.indexer.wq_b."},
    {".self_attn.index_k_proj.", ".self_attn.indexer.wk."},
    {".self_attn.index_q_norm.", ".self_attn.indexer.q_norm."},
    {".self_attn.index_k_norm.", ".self_attn.indexer.k_norm."},
    {".w1.", ".gate_proj."},
    {".w2.", ".down_proj."},
    {".w3.", ".up_proj."}};
constexpr TensorName kGgufTensors[] = {{"exp_probs_b.bias", "mlp.gate.e_score_correction_bias"},
                                       {"indexer.q_proj", "self_attn.indexer.wq_b"},
                                       {"indexer.k_proj", "self_attn.indexer.wk"},
                                       {"indexer.q_norm", "self_attn.indexer.q_norm"},
                                       {"indexer.k_norm", "self_attn.indexer.k_norm"}};
constexpr std::string_view kNames[] = {"minimax_m3_vl", "minimax_m3", "minimax-m3"};

}  // namespace

// MiniMax M3; as mlx-lm 0.32.2 models/minimax_m3_vl.py. A token attends blocks of keys that an indexer chooses, in most layers; gates
// and values are bounded in all feed-forward blocks; experts by sigmoids with a bias, beside a shared one.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .gguf_names = kGgufTensors,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::minimax_m3
