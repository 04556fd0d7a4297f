#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::afm7 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.rms_norm_eps = 1e-5, .rope_theta = 5e4, .interleaved = true});
  const int64_t n_reusing = s.required_integer({"num_kv_reuse_layers", ""});
  const double factor = s.number({"hidden_dim_scale_factor", ""}).value_or(3.25);
  if (n_reusing < 0 || n_reusing >= c.n_layers || !(factor > 0 && factor < 1000))
    fail(ErrorKind::bad_model, "{}: {} of {} layers reuse keys, width times {}", s.where(),
         n_reusing, c.n_layers, factor);
  const int64_t n_own = c.n_layers - n_reusing;
  w.move_layers("model.kv_reuse_layers", "model.layers", n_own);
  for (int64_t i = 0; i < c.n_layers; ++i) {
    nn::LayerConfig& layer = c.layers[static_cast<size_t>(i)];
    layer.mlp().intermediate_size =
        static_cast<int64_t>(static_cast<double>(c.hidden_size) * factor);
    layer.attention()->norm_last = true;
    layer.attention()->norm_eps = 1e-5F;
    if (i >= n_own) layer.attention()->kv_of_layer = n_own - 1;
  }
  c.tie_word_embeddings = true;
  return c;
}

constexpr KeyName kKeys[] = {{"hidden_dim", "hidden_size"},
                             {"num_layers", "num_hidden_layers"},
                             {"num_heads", "num_attention_heads"},
                             {"num_kv_heads", "num_key_value_heads"}};
constexpr TensorName kTensors[] = {{"model.embedding.", "model.embed_tokens."},
                                   {"model.output_norm.", "model.norm."},
                                   {".qkv_proj.linear.", ".qkv_proj."},
                                   {".self_attn.out_proj.", ".self_attn.o_proj."}};
constexpr std::string_view kNames[] = {"afm7"};

}  // namespace

// Apple's foundation model for devices, arXiv:2507.13575; as mlx-lm 0.32.2 models/afm7.py. Keys and values are rounded to 8 bits
// as they are kept; the last layers attend those of the last one that has its own.
extern const Family family{.names = kNames,
                           .read = read,
                           .make = make_pre_norm,
                           .config_keys = kKeys,
                           .hf_names = kTensors};

}  // namespace sluice::models::families::afm7
