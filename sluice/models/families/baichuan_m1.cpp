#include <algorithm>
#include <cmath>

#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::baichuan_m1 {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w, {.any_layers = true});
  const int64_t window = s.required_integer({"sliding_window", ""});
  const auto local = s.numbers({"sliding_window_layers", ""}).value_or(std::vector<double>{});
  const auto local_heads = s.integer({"num_swa_attention_heads", ""});
  const auto local_kv_heads = s.integer({"num_swa_key_value_heads", ""});
  if (const int64_t taps = s.integer({"conv_window", ""}).value_or(2); taps != 2)
    fail(ErrorKind::unsupported, "{}: conv_window is {}, supported is 2", s.where(), taps);
  for (int64_t i = 0; i < c.n_layers; ++i) {
    nn::AttentionConfig& a = *c.layers[static_cast<size_t>(i)].attention();
    if (std::ranges::count(local, static_cast<double>(i)) > 0) {
      a.sliding_window = window;
      a.n_heads = local_heads.value_or(a.n_heads);
      a.n_kv_heads = local_kv_heads.value_or(a.n_kv_heads);
    }
    if (a.n_heads < 1 || a.n_kv_heads < 1 || a.n_heads % a.n_kv_heads != 0 ||
        c.hidden_size % a.n_heads != 0 || c.hidden_size / a.n_heads > kMaxHeadDim)
      fail(ErrorKind::bad_model, "{}: layer {} has {} heads, {} for keys, over {} values",
           s.where(), i, a.n_heads, a.n_kv_heads, c.hidden_size);
    a.head_dim = a.rope.dims = c.hidden_size / a.n_heads;
    a.scale = 1 / std::sqrt(static_cast<float>(a.head_dim));
  }
  c.normed_head = w.find("lm_head.scales") == nullptr;  // conversions hold the result
  return c;
}

constexpr TensorName kTensors[] = {{".self_attn.W_pack.", ".self_attn.qkv_proj."}};
constexpr std::string_view kNames[] = {"baichuan_m1"};

}  // namespace

// Baichuan-M1, arXiv:2502.12671; as mlx-lm 0.32.2 models/baichuan_m1.py. Keys and values are mixed with those of the token
// before; layers with a window have heads of their own; the rows of the head are divided by their lengths.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::baichuan_m1
