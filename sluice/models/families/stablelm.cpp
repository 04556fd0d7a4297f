#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "layer_norm_eps",
                               .centered_norms = true,
                               .rotary_share = 0.25});
  for (const char* unsupported : {"use_parallel_residual", "qk_layernorm"}) {
    if (s.boolean({unsupported, ""}).value_or(false))
      fail(ErrorKind::unsupported, "{}: {} is true, which is not supported", s.where(),
           unsupported);
  }
  s.ignore({"use_qkv_bias", ""});  // the files tell
  return c;
}

constexpr std::string_view kNames[] = {"stablelm"};

}  // namespace

// StableLM 2 1.6B, arXiv:2402.17834; as mlx-lm 0.32.2 models/stablelm.py. Llama with layer norms and partial RoPE. (12B has
// parallel blocks and norms per head: not yet.)
extern const Family stablelm{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models
