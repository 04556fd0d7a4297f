#include <cmath>

#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::hunyuan_v1_dense {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w);
  const double alpha = s.number({"rope_scaling/alpha", ""}).value_or(1);
  for (const char* unused :
       {"rope_scaling/factor", "rope_scaling/type", "rope_scaling/beta_fast",
        "rope_scaling/beta_slow", "rope_scaling/mscale", "rope_scaling/mscale_all_dim"})
    s.ignore({unused, ""});
  s.ignore({"use_qk_norm", ""});  // the files tell
  each_attention(c, [&](nn::AttentionConfig& a) {
    a.norm_last = true;
    const auto d = static_cast<double>(a.head_dim);
    if (!s.is_gguf())  // ggml's converter has it in the base already
      a.rope = {.dims = a.rope.dims, .theta = a.rope.theta * std::pow(alpha, d / (d - 2))};
  });
  return c;
}

constexpr TensorName kTensors[] = {{".query_layernorm.", ".q_norm."},
                                   {".key_layernorm.", ".k_norm."}};
constexpr std::string_view kNames[] = {"hunyuan_v1_dense", "hunyuan-dense"};

}  // namespace

// Hunyuan V1, dense; as mlx-lm 0.32.2 models/hunyuan_v1_dense.py. q_norm and k_norm after the rotation, whose base is
// stretched by alpha.
extern const Family family{
    .names = kNames, .read = read, .make = make_pre_norm, .hf_names = kTensors};

}  // namespace sluice::models::families::hunyuan_v1_dense
