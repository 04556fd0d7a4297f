#include <algorithm>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::phi3small {
namespace {

/// Blocks that a token sees, in all layers but every so-manieth.
void read_sparse_layers(nn::Config& c, const Source& s) {
  const ops::BlockSparse sparse{
      .block = s.integer({"blocksparse_block_size", ""}).value_or(64),
      .n_local = s.integer({"blocksparse_num_local_blocks", ""}).value_or(16),
      .stride = s.integer({"blocksparse_vert_stride", ""}).value_or(8)};
  const int64_t period = s.integer({"dense_attention_every_n_layers", ""}).value_or(2);
  if (s.boolean({"blocksparse_homo_head_pattern", ""}).value_or(false))
    fail(ErrorKind::unsupported,
         "{}: blocksparse_homo_head_pattern is true, which is not supported", s.where());
  if ((sparse.block != 32 && sparse.block != 64) || sparse.n_local < 1 || sparse.stride < 1 ||
      period < 1)
    fail(ErrorKind::unsupported,
         "{}: block-sparse attention of {} tokens a block, {} near ones, every {}th, in all but "
         "every {}th layer is not supported",
         s.where(), sparse.block, sparse.n_local, sparse.stride, period);
  for (size_t i = 0; i < c.layers.size(); ++i) {
    if ((static_cast<int64_t>(i) + 1) % period != 0) c.layers[i].attention()->sparse = sparse;
  }
}

/// What its tokenizer never gives, which cannot be chosen either.
std::vector<int32_t> never_chosen(const Source& s) {
  if (const auto told = s.numbers({"dummy_token_indices", ""})) {
    std::vector<int32_t> ids;
    for (const double id : *told) ids.push_back(static_cast<int32_t>(std::clamp(id, 0.0, 1e9)));
    return ids;
  }
  std::vector<int32_t> ids{100256, 100258, 100259, 100260, 100264, 100265};
  for (int32_t id = 100267; id < 100352; ++id) ids.push_back(id);
  return ids;
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_epsilon",
                               .own_activation = "gegelu",
                               .centered_norms = true,
                               .rope_theta = 1e6});
  const auto number = [&](const char* key, double otherwise) {
    return s.number({key, ""}).value_or(otherwise);
  };
  const double width = number("mup_width_multiplier", 8),
               embedding = number("mup_embedding_multiplier", 10);
  const double position = number("rope_position_scale", 1),
               of_scores = number("mup_attn_multiplier", 1);
  const double limit = number("gegelu_limit", 20);
  if (!(position > 0))
    fail(ErrorKind::bad_model, "{}: rope_position_scale is {}, wanted more than 0", s.where(),
         position);
  const bool scales = s.boolean({"mup_use_scaling", ""}).value_or(true);
  if (embedding != 0) c.embedding_scale = static_cast<float>(embedding);
  if (width != 0) c.logits_scale = static_cast<float>(1 / width);
  c.tie_word_embeddings = true;
  c.never_chosen = never_chosen(s);
  for (const char* told :
       {"gegelu_pad_to_256", "ff_dim_multiplier", "blocksparse_triton_kernel_block_size"})
    s.ignore({told, ""});
  for (nn::LayerConfig& layer : c.layers) {
    nn::AttentionConfig& a = *layer.attention();
    a.qkv_per_group = true;
    if (scales) a.scale = static_cast<float>(of_scores / static_cast<double>(a.head_dim));
    if (position != 1) a.rope.kind = nn::RopeConfig::Kind::linear;
    a.rope.factor = 1 / position;
    layer.mlp().activation = kernels::Activation::swiglu_clipped;
    layer.mlp().activation_limit = static_cast<float>(limit);
  }
  read_sparse_layers(c, s);
  return c;
}

constexpr KeyName kKeys[] = {{"ff_intermediate_size", "intermediate_size"},
                             {"rope_embedding_base", "rope_theta"}};
constexpr TensorName kTensors[] = {{"model.final_layernorm.", "model.norm."},
                                   {".query_key_value.", ".qkv_proj."},
                                   {".self_attn.dense.", ".self_attn.o_proj."},
                                   {".mlp.up_proj.", ".mlp.gate_up_interleaved."}};
constexpr std::string_view kNames[] = {"phi3small"};

}  // namespace

// Phi-3-small, arXiv:2404.14219; as mlx-lm 0.32.2 models/phi3small.py computes it token by token (its prefill lets tokens see
// later ones). In every second layer a head sees the blocks near by and every so-manieth of the others.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::phi3small
