#include "sluice/base/error.h"
#include "sluice/models/config.h"
#include "sluice/models/family.h"
#include "sluice/models/make.h"

namespace sluice::models::families::plamo {
namespace {

nn::Config read(const Source& s, nn::WeightTable& w) {
  nn::Config c = read_decoder(s, w);
  const int64_t shared = s.integer({"n_shared_head", ""}).value_or(8);
  if (s.is_gguf()) return c;  // whose heads were put in the usual order
  each_attention(c, [&](nn::AttentionConfig& a) {
    a.n_kv_heads = shared < 1 ? 1 : (a.n_heads + shared - 1) / shared;
    a.tiled_heads = true;
    if (a.n_heads % a.n_kv_heads != 0)
      fail(ErrorKind::unsupported, "{}: {} heads for {} of keys", s.where(), a.n_heads,
           a.n_kv_heads);
  });
  return c;
}

constexpr TensorName kTensors[] = {{"^model.norm.", "model.final_norm."},
                                   {".norm.", ".input_layernorm."},
                                   {"^model.final_norm.", "model.norm."},
                                   {"^model.layers.layers.", "model.layers."}};
constexpr std::string_view kNames[] = {"plamo"};

}  // namespace

// PLaMo 13B; as mlx-lm 0.32.2 models/plamo.py. Both blocks beside each other after one norm; query head h has key head h mod K.
extern const Family family{
    .names = kNames, .read = read, .make = make_parallel, .hf_names = kTensors};

}  // namespace sluice::models::families::plamo
