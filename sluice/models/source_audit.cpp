// What nobody asked for: a key that the families' readers never looked at may still change every
// number.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/models/source.h"

namespace sluice::models {
namespace {

using std::string_view;

/// What names of keys have in common that change what a model computes. Biases are not among them:
/// the files tell.
constexpr auto kTelling =
    std::to_array<string_view>({"rope",          "rotary",        "theta",
                                "factor",        "multiplier",    "scaling",
                                "scale",         "layer_type",    "sliding",
                                "window",        "softcap",       "soft_cap",
                                "_eps",          "epsilon",       "norm",
                                "clip",          "clamp",         "alibi",
                                "nope",          "hidden_act",    "activation",
                                "n_group",       "topk",          "scoring",
                                "causal",        "bidirectional", "attention_chunk",
                                "qk_",           "swiglu",        "residual",
                                "dense",         "sparse",        "interleave",
                                "expert",        "router",        "lora_rank",
                                "conv",          "ssm",           "mamba",
                                "state_size",    "num_loops",     "altup",
                                "laurel",        "logit_",        "parallel_attn",
                                "parallel_block"});
/// And those that only training or a caller of the reference knows.
constexpr auto kHarmless =
    std::to_array<string_view>({"loss", "jitter", "output_", "initializer", "dropout", "capacity",
                                "_autoset", "vision", "image", "video", "audio", "projector"});
/// Of a GGUF, keys below the architecture's name that change nothing here.
constexpr auto kHarmlessMetadata = std::to_array<string_view>(
    {"vocab_size", "context_length", "tensor_data_layout", "rope.scaling.finetuned",
     "decoder_start_token_id", "pooling_type"});
/// Objects at the top of config.json that speak of other parts of a model than its text.
constexpr auto kOtherParts =
    std::to_array<string_view>({"text_config", "vision_config", "audio_config"});

bool contains_any(string_view key, std::span<const string_view> parts) {
  return std::ranges::any_of(parts, [&](string_view part) { return key.find(part) != key.npos; });
}

bool changes_numbers(string_view key) {
  return contains_any(key, kTelling) && !contains_any(key, kHarmless);
}

/// Keys whose 1 is as good as their absence. Attention's own scale is 1 / sqrt(head_dim) where none
/// is given.
bool is_factor(string_view key) {
  constexpr auto kFactors =
      std::to_array<string_view>({"factor", "multiplier", "scale", "scaling"});
  return key.find("attention") == key.npos &&
         std::ranges::any_of(kFactors, [&](string_view end) { return key.ends_with(end); });
}

bool is_neutral(string_view key, double value) {
  return value == 0 || (value == 1 && is_factor(key));
}

/// A decoder looks back anyway; every other true turns something on.
bool is_neutral(string_view key, bool value) { return value == key.ends_with("causal"); }

bool is_neutral(string_view key, const nlohmann::json& value) {
  if (value.is_boolean()) return is_neutral(key, value.get<bool>());
  if (value.is_number()) return is_neutral(key, value.get<double>());
  if (value.is_string()) return value.get_ref<const std::string&>().empty();
  return value.empty();  // null, [], {}
}

std::string shortened(const nlohmann::json& value) {
  constexpr size_t kShown = 60;
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kShown) text = text.substr(0, kShown) + "...";
  return printable(text);
}

}  // namespace

void Source::not_asked(string_view key, string_view value) const {
  fail(ErrorKind::unsupported,
       "{}: {} is {}, which Sluice does not know for '{}'; it may change every answer", where_,
       printable(key), value, printable(architecture_));
}

void Source::check_object(const nlohmann::json& object, const std::string& scope) const {
  for (const auto& [key, value] : object.items()) {
    const std::string path = scope.empty() ? key : scope + "/" + key;
    if (asked_.contains(path) || (scope.empty() && std::ranges::count(kOtherParts, key) > 0)) {
      continue;
    }
    const bool of_rope = path.starts_with("rope_scaling") || path.starts_with("rope_parameters");
    if (of_rope && value.is_object()) {
      check_object(value, path);
    } else if ((!scope.empty() || changes_numbers(key)) && !is_neutral(key, value)) {
      not_asked(path, shortened(value));
    }
  }
}

void Source::check_metadata() const {
  const std::string prefix = architecture_ + ".";
  for (auto it = gguf_->values.lower_bound(prefix);
       it != gguf_->values.end() && it->first.starts_with(prefix); ++it) {
    const auto& [key, value] = *it;
    if (asked_.contains(key) ||
        std::ranges::count(kHarmlessMetadata, string_view(key).substr(prefix.size())) > 0) {
      continue;
    }
    struct {
      string_view key;
      bool operator()(int64_t v) const { return is_neutral(key, static_cast<double>(v)); }
      bool operator()(uint64_t) const { return false; }
      bool operator()(double v) const { return is_neutral(key, v); }
      bool operator()(bool v) const { return is_neutral(key, v); }
      bool operator()(string_view v) const { return v.empty(); }
      bool operator()(const io::GgufArray& v) const { return v.count == 0; }
    } neutral{key};
    if (!std::visit(neutral, value)) not_asked(key, "given");
  }
}

void Source::check_all_asked() const {
  if (is_gguf()) return check_metadata();
  if (text_ != nullptr) check_object(*text_, "");
  check_object(*config_, "");
}

}  // namespace sluice::models
