#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/models/config.h"

namespace sluice::models {
namespace {

using nn::RopeConfig;
using Kind = RopeConfig::Kind;

/// The object of config.json that holds factor and type: rope_scaling beside rope_theta, or
/// (transformers 5) rope_parameters with both, by layer type in models with two kinds of layer.
std::string scope_of(const Source& s, const std::string& layer_type) {
  const nlohmann::json* const parameters = s.object("rope_parameters");
  const nlohmann::json* const scaling = s.object("rope_scaling");
  if (parameters == nullptr) return "rope_scaling";
  if (scaling != nullptr) {  // written twice; what differs is refused
    for (const auto& [key, value] : scaling->items()) {
      const auto same = parameters->find(key);
      if (same != parameters->end() && *same == value) s.ignore({"rope_scaling/" + key, ""});
    }
  }
  return has_own_rope(s, layer_type) ? "rope_parameters/" + layer_type : "rope_parameters";
}

Kind kind_of(const Source& s, const std::string& type) {
  if (type.empty() || type == "default" || type == "proportional" || type == "none" ||
      type == "mrope")
    return Kind::plain;
  if (type == "linear") return Kind::linear;
  if (type == "dynamic") return Kind::dynamic;
  if (type == "llama3") return Kind::llama3;
  if (type == "yarn" || type == "deepseek_yarn" || type == "telechat3-yarn") return Kind::yarn;
  if (type == "longrope" || type == "su") return Kind::longrope;
  fail(ErrorKind::unsupported, "{}: RoPE scaling '{}' is not supported", s.where(),
       printable(type));
}

/// A table of frequency divisors that a GGUF stores as a tensor.
std::vector<double> stored_divisors(nn::WeightTable& weights, const std::string& name,
                                    int64_t n_pairs) {
  const ops::Vector values = nn::Weights(weights)[name]["weight"].optional_vector(n_pairs);
  return values ? std::vector<double>(values->begin(), values->end()) : std::vector<double>{};
}

/// Numbers of one RoPE by their names inside its object. All are asked for, whichever of them its
/// kind uses: the reference passes over the others too.
class Reader {
 public:
  Reader(const Source& source, const std::string& layer_type)
      : s_(source), scope_(scope_of(source, layer_type)) {}

  std::string in(const std::string& name) const { return scope_ + "/" + name; }
  std::optional<double> number(const std::string& name, std::string_view gguf) const {
    return s_.number({in(name), gguf});
  }
  /// Inside the object, else beside it; a list has one for each layer, which the family reads.
  std::optional<double> number_or_top(const std::string& name, std::string_view gguf) const {
    const auto top = s_.is_array({name, ""}) ? std::nullopt : s_.number({name, ""});
    const auto inner = number(name, gguf);
    return inner ? inner : top;
  }
  std::string type() const {
    const std::string older = s_.string({in("type"), ""}).value_or("");
    const std::string newer = s_.string({in("rope_type"), "%.rope.scaling.type"}).value_or("");
    return newer.empty() ? older : newer;
  }

 private:
  const Source& s_;
  std::string scope_;
};

void read_dims(RopeConfig& r, const Source& s, const Reader& in, int64_t head_dim,
               double usual_share) {
  const auto share = in.number_or_top("partial_rotary_factor", "");
  const double wanted = std::clamp(share.value_or(s.is_gguf() ? 1 : usual_share), 0.0, 2.0);
  r.dims = s.integer({"", "%.rope.dimension_count"})
               .value_or(static_cast<int64_t>(static_cast<double>(head_dim) * wanted));
  if (r.dims > head_dim)
    fail(ErrorKind::bad_model, "{}: RoPE over {} of {} elements", s.where(), r.dims, head_dim);
}

/// Of all elements, of which the first share is rotated; the others' frequencies are 0.
void make_proportional(RopeConfig& r, int64_t head_dim, double factor) {
  const auto rotated = static_cast<size_t>(r.dims / 2);
  r.dims = head_dim;
  r.divisors.assign(static_cast<size_t>(head_dim / 2), std::numeric_limits<double>::infinity());
  std::fill_n(r.divisors.begin(), std::min(rotated, r.divisors.size()), factor);
}

void read_original_positions(RopeConfig& r, const Source& s, const Reader& in) {
  const auto inner = s.integer(
      {in.in("original_max_position_embeddings"), "%.rope.scaling.original_context_length"});
  const auto top = s.integer({"original_max_position_embeddings", ""});
  const int64_t usual = r.max_positions > 0 ? r.max_positions : 4096;
  r.original_positions = top.value_or(inner.value_or(usual));
  if (r.original_positions == 0) r.original_positions = usual;
}

void read_yarn(RopeConfig& r, const Source& s, const Reader& in) {
  const auto positive = [](std::optional<double> value, double otherwise) {
    return value.value_or(0) != 0 ? *value : otherwise;
  };
  r.beta_fast = positive(in.number("beta_fast", "%.rope.scaling.yarn_beta_fast"), 32);
  r.beta_slow = positive(in.number("beta_slow", "%.rope.scaling.yarn_beta_slow"), 1);
  r.truncate = s.boolean({in.in("truncate"), ""}).value_or(true);
  const double mscale = in.number("mscale", "").value_or(0);
  const double all_dim = in.number("mscale_all_dim", "").value_or(0);
  if (s.number({"", "%.rope.scaling.yarn_log_multiplier"})) {  // both were given, and alike
    r.mscale = r.mscale_all_dim = 1;
  }
  if (mscale != 0 && all_dim != 0) {  // one alone counts for nothing
    r.mscale = mscale;
    r.mscale_all_dim = all_dim;
  }
}

/// Tables of divisors, one for each rotated pair.
void read_divisors(RopeConfig& r, const Source& s, const Reader& in, nn::WeightTable& weights) {
  const auto table = s.numbers({in.in("long_factor"), ""});
  s.ignore({in.in("short_factor"), ""});  // models/README.md: "on purpose"
  const auto magnitude = in.number("long_mscale", "");
  s.ignore({in.in("short_mscale"), ""});
  const int64_t pairs = r.dims / 2;
  if (s.is_gguf()) {
    const bool has_table = weights.find("rope_factors_long.weight") != nullptr;
    if (r.kind == Kind::longrope && !has_table)
      fail(ErrorKind::bad_model, "{}: longrope without rope_factors_long.weight", s.where());
    if (has_table) {  // a converter writes no scaling type for it
      r.kind = Kind::longrope;
      r.attention_factor = s.number({"", "%.rope.scaling.attn_factor"}).value_or(0);
    }
    // The second: Llama 3's, already computed.
    r.divisors = stored_divisors(weights, has_table ? "rope_factors_long" : "rope_freqs", pairs);
  } else if (r.kind == Kind::longrope) {
    if (!table || table->size() != static_cast<size_t>(pairs)) {
      fail(ErrorKind::bad_model, "{}: longrope's long_factor has {} numbers, wanted {}", s.where(),
           table ? table->size() : 0, pairs);
    }
    r.divisors = *table;
    if (magnitude) r.attention_factor = *magnitude;
  }
}

}  // namespace

bool has_own_rope(const Source& source, const std::string& layer_type) {
  return source.object("rope_parameters/" + layer_type) != nullptr;
}

RopeConfig read_rope(const Source& s, nn::WeightTable& weights, const nn::Config& c,
                     int64_t head_dim, const Defaults& defaults, const std::string& layer_type) {
  const Reader in(s, layer_type);
  RopeConfig r;
  read_dims(r, s, in, head_dim, defaults.rotary_share);
  r.theta = in.number_or_top("rope_theta", "%.rope.freq_base")
                .value_or(s.is_gguf() ? 1e4 : defaults.rope_theta);
  r.interleaved = s.boolean({"rope_traditional", ""}).value_or(false) || defaults.interleaved;
  r.kind = kind_of(s, in.type());
  r.max_positions = c.max_position_embeddings;
  read_original_positions(r, s, in);
  r.low_freq_factor = in.number("low_freq_factor", "").value_or(1.0);
  r.high_freq_factor = in.number("high_freq_factor", "").value_or(4.0);
  read_yarn(r, s, in);
  r.attention_factor = in.number("attention_factor", "%.rope.scaling.yarn_attn_factor").value_or(0);
  for (const char* of_images : {"mrope_section", "mrope_interleaved"})
    s.ignore({in.in(of_images), ""});  // text has the same position in each section
  read_divisors(r, s, in, weights);
  const auto factor = in.number("factor", "%.rope.scaling.factor");
  const bool by_context = (r.kind == Kind::yarn || r.kind == Kind::longrope) && r.max_positions > 0;
  r.factor = factor ? *factor
             : by_context
                 ? static_cast<double>(r.max_positions) / static_cast<double>(r.original_positions)
                 : 1.0;
  if (in.type() == "proportional") {
    make_proportional(r, head_dim, r.factor);
    r.factor = 1;
  }
  return r;
}

}  // namespace sluice::models
