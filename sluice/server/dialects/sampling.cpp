#include "sluice/server/dialects/sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>

#include "sluice/base/printable.h"

namespace sluice::server {
namespace {

void read_penalties(Fields& fields, decode::SamplerConfig& sampling) {
  for (const std::string_view name : {"repetition_penalty", "repeat_penalty"}) {
    if (const auto value = fields.number(name, 1e-3, 1e3)) sampling.repetition_penalty = *value;
  }
  if (const auto value = fields.number("presence_penalty", -1e3, 1e3)) {
    sampling.presence_penalty = *value;
  }
  if (const auto value = fields.number("frequency_penalty", -1e3, 1e3)) {
    sampling.frequency_penalty = *value;
  }
  // llama-server and Ollama: -1 is the whole context, 0 none.
  if (const auto value = fields.integer("repeat_last_n", -1, int64_t{1} << 32)) {
    sampling.penalty_window = std::max<int64_t>(*value, 0);
    if (*value == 0) {
      sampling.repetition_penalty = 1;
      sampling.presence_penalty = sampling.frequency_penalty = 0;
    }
  }
}

void read_seed(Fields& fields, Ask& ask) {
  const Json* value = fields.any("seed");
  if (!value) return;
  if (value->is_number_unsigned()) {
    ask.seed = value->get<uint64_t>();
    return;
  }
  const int64_t seed = to_integer(*value, fields.path("seed"), INT64_MIN, INT64_MAX);
  if (seed != -1) ask.seed = static_cast<uint64_t>(seed);  // -1: draw one (llama-server, Ollama)
}

text::Token token_of(const std::string& key, const std::string& path) {
  text::Token id = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
  if (error != std::errc{} || end != key.data() + key.size() || id < 0) {
    refuse_field(path, fmt::format("has the key \"{}\", wanted a token's id", printable_name(key)));
  }
  return id;
}

}  // namespace

void read_sampling(Fields& fields, Ask& ask, const ReadOptions& options) {
  decode::SamplerConfig& sampling = ask.sampling = options.sampling;
  if (const auto value = fields.number("temperature", 0, 1e3)) sampling.temperature = *value;
  // 0 asks for the best token alone.
  if (const auto value = fields.number("top_p", 0, 1)) sampling.top_p = std::max(*value, 1e-9);
  if (const auto value = fields.integer("top_k", -1, std::numeric_limits<int32_t>::max())) {
    sampling.top_k = std::max<int64_t>(*value, 0);
  }
  if (const auto value = fields.number("min_p", 0, 1)) sampling.min_p = *value;
  if (const auto value = fields.number("xtc_probability", 0, 1)) sampling.xtc_probability = *value;
  if (const auto value = fields.number("xtc_threshold", 0, 0.5)) sampling.xtc_threshold = *value;
  for (const std::string_view name : {"typical_p", "typ_p"}) {
    fields.only(name, {1, 0}, "locally typical sampling is not there; leave it out or give 1");
  }
  read_penalties(fields, sampling);
  read_seed(fields, ask);
  if (const auto value = fields.boolean("ignore_eos")) ask.ignore_eos = *value;
}

void read_stops(Fields& fields, std::string_view name, Ask& ask, const Limits& limits) {
  const Json* value = fields.any(name);
  if (!value) return;
  const std::string path = fields.path(name);
  const auto add = [&](const Json& stop, const std::string& where) {
    const std::string& text = to_text(stop, where);
    if (text.size() > limits.stop_bytes) {
      refuse_field(
          where, fmt::format("has {} bytes, at most {} are taken", text.size(), limits.stop_bytes));
    }
    if (!text.empty()) ask.stop.push_back(text);
  };
  if (value->is_string()) return add(*value, path);
  if (!value->is_array()) refuse_type(*value, path, "a string or an array of strings");
  to_array(*value, path, limits.stops);
  for (size_t i = 0; i < value->size(); ++i) add((*value)[i], indexed(path, i));
}

void read_max_tokens(Fields& fields, std::initializer_list<std::string_view> names, int64_t least,
                     Ask& ask, const Limits& limits) {
  for (const std::string_view name : names) {
    const auto value = fields.integer(name, -1, std::numeric_limits<int64_t>::max());
    if (!value) continue;
    if (*value != -1 && *value < least) {
      refuse_field(fields.path(name), fmt::format("is {}, wanted at least {}", *value, least));
    }
    if (*value != -1 && !ask.max_tokens) ask.max_tokens = std::min(*value, limits.max_tokens);
  }
}

void read_logit_bias(Fields& fields, Ask& ask, const Limits& limits) {
  const Json* value = fields.any("logit_bias");
  if (!value) return;
  const std::string path = fields.path("logit_bias");
  if (!value->is_object()) refuse_type(*value, path, "an object of token ids");
  if (value->size() > limits.logit_biases) {
    refuse_field(path, fmt::format("has {} tokens, at most {} are taken", value->size(),
                                   limits.logit_biases));
  }
  for (const auto& [key, bias] : value->items()) {
    const text::Token id = token_of(key, path);
    ask.sampling.logit_bias[id] = to_number(bias, fmt::format("{}.{}", path, id), -100, 100);
  }
}

}  // namespace sluice::server
