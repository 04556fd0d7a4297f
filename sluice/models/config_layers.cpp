#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/models/config.h"

namespace sluice::models {
namespace {

std::vector<bool> from_types(const Source& s, const std::vector<std::string>& types, size_t n,
                             std::string_view other) {
  if (types.size() != n) {
    fail(ErrorKind::bad_model, "{}: layer_types has {} entries for {} layers", s.where(),
         types.size(), n);
  }
  std::vector<bool> sliding;
  for (const std::string& type : types) {
    if (type != "sliding_attention" && type != "full_attention" &&
        (other.empty() || type != other)) {
      fail(ErrorKind::unsupported, "{}: layer_types has '{}', which is not supported", s.where(),
           printable(type));
    }
    sliding.push_back(type == "sliding_attention");
  }
  return sliding;
}

}  // namespace

std::function<bool(int64_t)> has_router(const nn::WeightTable& weights) {
  return [&weights](int64_t layer) {
    return weights.find(fmt::format("model.layers.{}.mlp.gate.weight", layer)) != nullptr;
  };
}

std::vector<bool> layers_without_keys(const Source& source, int64_t n_layers) {
  std::vector<bool> without;
  for (const int64_t n : source.integers_of_layers({"", "%.attention.head_count_kv"}, n_layers, 0))
    without.push_back(n == 0);
  return without;
}

void check_heads(const Source& source, size_t layer, const nn::AttentionConfig& a) {
  if (a.n_heads < 1 || a.n_kv_heads < 1 || a.n_heads % a.n_kv_heads != 0)
    fail(ErrorKind::bad_model, "{}: layer {} has {} heads, {} for keys", source.where(), layer,
         a.n_heads, a.n_kv_heads);
}

std::vector<bool> sliding_layers(const Source& source, int64_t n_layers,
                                 const std::function<bool(int64_t)>& otherwise,
                                 std::string_view other) {
  const auto n = static_cast<size_t>(n_layers);
  constexpr Key kPattern{"sliding_window_pattern", "%.attention.sliding_window_pattern"};
  if (source.is_array(kPattern)) {  // one flag per layer
    std::vector<double> flags = source.numbers(kPattern).value_or(std::vector<double>{});
    source.drop_drafting(flags, n_layers);
    if (flags.size() != n) {
      fail(ErrorKind::bad_model, "{}: sliding_window_pattern has {} flags for {} layers",
           source.where(), flags.size(), n);
    }
    return {flags.begin(), flags.end()};
  }
  if (source.is_string(kPattern.hf)) {  // "LLLG", repeated: L is local
    const std::string pattern = source.string(kPattern).value_or("");
    std::vector<bool> local;
    for (size_t i = 0; i < n; ++i)
      local.push_back(!pattern.empty() && pattern[i % pattern.size()] == 'L');
    return local;
  }
  auto period = source.integer(kPattern);
  if (!period) period = source.integer({"_sliding_window_pattern", ""});
  if (const auto types = source.strings({"layer_types", ""}))
    return from_types(source, *types, n, other);
  std::vector<bool> sliding;
  for (int64_t i = 0; i < n_layers; ++i) {
    sliding.push_back(period && *period > 0 ? (i + 1) % *period != 0 : otherwise && otherwise(i));
  }
  return sliding;
}

}  // namespace sluice::models
