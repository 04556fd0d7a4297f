#include <cmath>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make_decoder.h"
#include "sluice/nn/attention.h"
#include "sluice/nn/mlp.h"

namespace sluice::models::families::nemotron_nas {
namespace {

/// Attention and a feed-forward block, of which either may be missing, or a matrix in its place.
struct Layer {
  std::optional<nn::Attention> attention;
  std::optional<nn::GatedMlp> mlp;
  struct Matrix {
    ops::Norm norm;
    std::vector<ops::Projection> projection;  // one
  };
  std::optional<Matrix> for_attention, for_mlp;

  Layer(const nn::Config& c, const nn::Weights& w, int64_t i, nn::Demands& demands) {
    const nn::LayerConfig& layer = c.layers[static_cast<size_t>(i)];
    const auto norms = [&](const char* name) {
      return nn::BlockNorms{.pre = nn::norm(w[name], c), .post = {}};
    };
    const auto matrix = [&](const nn::Weights& at, const char* name) {
      return Matrix{nn::norm(w[name], c), {nn::linear(at, c.hidden_size, c.hidden_size)}};
    };
    if (layer.attention() != nullptr) {
      attention.emplace(c, *layer.attention(), w["self_attn"], norms("input_layernorm"), demands);
    } else if (const nn::Weights at = w["self_attn"]["linear"]; at.has()) {
      for_attention = matrix(at, "input_layernorm");
    } else if (w["self_attn"]["o_proj"].has()) {  // in a GGUF
      for_attention = matrix(w["self_attn"]["o_proj"], "input_layernorm");
    }
    if (layer.mlp().intermediate_size > 0) {
      mlp.emplace(c, layer.mlp(), w["mlp"], norms("post_attention_layernorm"), demands);
    } else if (const nn::Weights at = w["mlp"]["linear"]; at.has()) {
      for_mlp = matrix(at, "post_attention_layernorm");
    }
  }

  mx::array operator()(const mx::array& x, const nn::Step& step) const {
    const auto apply = [&](const Matrix& m, const mx::array& to) {
      const mx::array normed = ops::rms_norm(step.context, to, m.norm);
      return ops::project_onto(step.context, normed, m.projection[0], {}, to);
    };
    const mx::array y = attention       ? (*attention)(x, step)
                        : for_attention ? apply(*for_attention, x)
                                        : x;
    return mlp ? (*mlp)(y, step) : for_mlp ? apply(*for_mlp, y) : y;
  }
};

std::unique_ptr<nn::Model> make(nn::Config config, const nn::Weights& weights) {
  return make_decoder<Layer>(std::move(config), weights);
}

/// One block of block_configs: 0 where it has none of what is counted.
struct Block {
  int64_t heads_per_key = 0;
  double ffn_factor = 0;
};

Block block_of(const Source& s, const nlohmann::json& json) {
  const auto part = [&](const char* name) {
    const auto at = json.is_object() ? json.find(name) : json.end();
    if (!json.is_object() || at == json.end() || !at->is_object())
      fail(ErrorKind::bad_model, "{}: a block of block_configs has no {}", s.where(), name);
    return *at;
  };
  const auto number = [](const nlohmann::json& of, const char* name) {
    const bool missing = of.value("no_op", false) || of.value("replace_with_linear", false);
    const auto at = of.find(name);
    return missing || at == of.end() || !at->is_number() ? 0.0 : at->get<double>();
  };
  const double heads = number(part("attention"), "n_heads_in_group");
  const double factor = number(part("ffn"), "ffn_mult");
  if (!(heads >= 0 && heads < 65536 && factor >= 0 && factor < 1000))
    fail(ErrorKind::bad_model, "{}: a block of block_configs has {} heads for a key, ffn_mult {}",
         s.where(), heads, factor);
  return {static_cast<int64_t>(heads), std::round(factor * 1e6) / 1e6};
}

void read_blocks(nn::Config& c, const Source& s) {
  const nlohmann::json* const blocks = s.list("block_configs");
  if (blocks == nullptr || blocks->size() != c.layers.size())
    fail(ErrorKind::bad_model, "{}: block_configs has not one block for each of {} layers",
         s.where(), c.n_layers);
  for (size_t i = 0; i < c.layers.size(); ++i) {
    const Block block = block_of(s, (*blocks)[i]);
    nn::LayerConfig& layer = c.layers[i];
    const auto inner =
        static_cast<int64_t>(2 * block.ffn_factor * static_cast<double>(c.hidden_size) / 3);
    layer.mlp().intermediate_size = (inner + 255) / 256 * 256;
    nn::AttentionConfig& a = *layer.attention();
    if (block.heads_per_key == 0) {
      layer.mixer = nn::NoMixer{};
    } else if (a.n_heads % block.heads_per_key != 0) {
      fail(ErrorKind::bad_model, "{}: layer {} has {} heads, {} for each key", s.where(), i,
           a.n_heads, block.heads_per_key);
    } else {
      a.n_kv_heads = a.n_heads / block.heads_per_key;
    }
  }
}

/// A GGUF's counts of each layer, 0 where it has none.
void read_counts(nn::Config& c, const Source& s) {
  const auto heads = s.integers_of_layers({"", "%.attention.head_count"}, c.n_layers, 0);
  const auto kv_heads = s.integers_of_layers({"", "%.attention.head_count_kv"}, c.n_layers, 0);
  const auto widths = s.integers_of_layers({"", "%.feed_forward_length"}, c.n_layers, 0);
  const int64_t most = *std::ranges::max_element(heads);
  for (size_t i = 0; i < c.layers.size(); ++i) {
    nn::LayerConfig& layer = c.layers[i];
    layer.mlp().intermediate_size = widths[i];
    nn::AttentionConfig& a = *layer.attention();
    a.n_heads = heads[i];
    a.n_kv_heads = kv_heads[i];
    a.head_dim = s.integer({"", "%.attention.key_length"})
                     .value_or(c.hidden_size / std::max<int64_t>(1, most));
    a.scale = 1 / std::sqrt(static_cast<float>(a.head_dim));
    if (a.n_heads == 0 || a.n_kv_heads == 0) {
      layer.mixer = nn::NoMixer{};
    } else if (a.n_heads % a.n_kv_heads != 0) {
      fail(ErrorKind::bad_model, "{}: layer {} has {} heads, {} for keys", s.where(), i, a.n_heads,
           a.n_kv_heads);
    }
  }
}

nn::Config read(const Source& s, nn::WeightTable& w) {
  // ggml's converter permutes q and k for interleaved pairs.
  nn::Config c = read_decoder(s, w,
                              {.n_kv_heads = 1,
                               .rms_norm_eps = 1e-5,
                               .rope_theta = 5e5,
                               .interleaved = s.is_gguf(),
                               .any_widths = true});
  s.is_gguf() ? read_counts(c, s) : read_blocks(c, s);
  return c;
}

// As published, of linear layers in a block's place; mlx-lm calls both `linear`.
constexpr TensorName kTensors[] = {{".self_attn.linear_attn.", ".self_attn.linear."},
                                   {".mlp.linear_mlp.", ".mlp.linear."}};
constexpr std::string_view kNames[] = {"nemotron-nas", "deci"};

}  // namespace

// Llama-Nemotron (Super 49B, Ultra 253B), arXiv:2505.00949; as mlx-lm 0.32.2 models/nemotron-nas.py. Llama after a search that
// gave each layer key heads and a width of its own, and took blocks away.
extern const Family family{.names = kNames, .read = read, .make = make, .hf_names = kTensors};

}  // namespace sluice::models::families::nemotron_nas
