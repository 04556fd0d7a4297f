#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::nemotron {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w,
                              {.rms_norm_eps = 1e-5,
                               .norm_eps_key = "norm_eps",
                               .activation = "relu2",
                               .gated_mlp = false,
                               .centered_norms = true,
                               .rotary_share = 0.5});
  c.norm_weight_offset = s.is_gguf() ? 0.0F : 1.0F;  // ggml's converter adds the 1
  s.ignore({"partial_rotary_percent", ""});          // partial_rotary_factor once more
  return c;
}

constexpr std::string_view kNames[] = {"nemotron"};

}  // namespace

// Nemotron-4 and Minitron, arXiv:2402.16819; as mlx-lm 0.32.2 models/nemotron.py. Layer norms less 1, squared ReLU without a gate.
extern const Family family{.names = kNames, .read = read, .make = make_pre_norm};

}  // namespace sluice::models::families::nemotron
