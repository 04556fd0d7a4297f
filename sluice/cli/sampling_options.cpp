#include "sluice/cli/sampling_options.h"

#include <charconv>
#include <random>

#include "sluice/base/error.h"

namespace sluice::cli {
namespace {

/// Reads all of `text` as a number; false where it is none or out of range.
template <typename T>
bool read_number(std::string_view text, T& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size() && !text.empty();
}

void add_bias(const std::string& entry, decode::SamplerConfig& config) {
  const size_t equals = std::min(entry.find('='), entry.size());
  const std::string_view text = entry;
  int32_t token = 0;
  double bias = 0;
  if (!read_number(text.substr(0, equals), token) || token < 0 || equals == text.size() ||
      !read_number(text.substr(equals + 1), bias)) {
    fail(ErrorKind::bad_request, "--logit-bias '{}' is not TOKEN=BIAS, as in 42=-5.5", entry);
  }
  if (!config.logit_bias.emplace(token, bias).second)
    fail(ErrorKind::bad_request, "--logit-bias names token {} twice; leave one out", token);
}

void refuse(bool given, const char* option, const char* why) {
  if (given) fail(ErrorKind::bad_request, "{} has no effect {}; leave one out", option, why);
}

/// What was given and would do nothing. Values that turn their stage off may be anywhere.
void refuse_idle(const SamplingOptions& o, const decode::SamplerConfig& c) {
  if (c.temperature == 0) {
    constexpr const char* kWhy = "at --temp 0";
    refuse(c.top_k > 0, "--top-k", kWhy);
    refuse(c.top_p < 1, "--top-p", kWhy);
    refuse(c.min_p > 0, "--min-p", kWhy);
    refuse(c.xtc_probability > 0, "--xtc-probability", kWhy);
  }
  const bool penalizes =
      c.repetition_penalty != 1 || c.presence_penalty != 0 || c.frequency_penalty != 0;
  if (o.xtc_threshold && c.xtc_probability == 0)
    fail(ErrorKind::bad_request, "--xtc-threshold has no effect without --xtc-probability above 0");
  if (o.penalty_window && !penalizes) {
    fail(ErrorKind::bad_request,
         "--penalty-window has no effect without --repetition-penalty, --presence-penalty or "
         "--frequency-penalty");
  }
}

}  // namespace

decode::SamplerConfig SamplingOptions::resolve() const {
  const bool samples = top_k || top_p || min_p || xtc_probability || xtc_threshold || seed;
  decode::SamplerConfig c;
  c.temperature = temperature.value_or(samples ? 1 : 0);
  c.top_k = top_k.value_or(c.top_k);
  c.top_p = top_p.value_or(c.top_p);
  c.min_p = min_p.value_or(c.min_p);
  c.xtc_probability = xtc_probability.value_or(c.xtc_probability);
  c.xtc_threshold = xtc_threshold.value_or(c.xtc_threshold);
  c.repetition_penalty = repetition_penalty.value_or(c.repetition_penalty);
  c.presence_penalty = presence_penalty.value_or(c.presence_penalty);
  c.frequency_penalty = frequency_penalty.value_or(c.frequency_penalty);
  c.penalty_window = penalty_window.value_or(c.penalty_window);
  c.seed = seed ? *seed : std::random_device{}();  // 32 bits, which every reader of JSON keeps
  for (const std::string& entry : logit_bias) add_bias(entry, c);
  c.check();
  refuse_idle(*this, c);
  return c;
}

void add_sampling_options(CLI::App& command, SamplingOptions& o) {
  const auto option = [&](const char* name, const char* value_name, auto& value, const char* help) {
    return command.add_option(name, value, help)
        ->type_name(value_name)
        ->group("Sampling, in the order in which they apply");
  };
  option("--logit-bias", "TOKEN=BIAS", o.logit_bias, "Add to that token's logit (repeatable)")
      ->allow_extra_args(false);
  option("--repetition-penalty", "X", o.repetition_penalty,
         "Divide the logits of recent tokens by it (default: 1, off)");
  option("--presence-penalty", "X", o.presence_penalty,
         "Subtract from every recent token's logit (default: 0)");
  option("--frequency-penalty", "X", o.frequency_penalty, "Subtract per occurrence (default: 0)");
  option("--penalty-window", "N", o.penalty_window,
         "Recent tokens that the penalties see (default: 64; 0: all)");
  option("--temp", "T", o.temperature,
         "Temperature; 0 takes the best token (default: 0, or 1 with any of the following)");
  option("--top-k", "K", o.top_k, "Keep the K best tokens (default: 0, off)");
  option("--top-p", "P", o.top_p,
         "Keep the best tokens that reach probability P (default: 1, off)");
  option("--min-p", "P", o.min_p,
         "Keep tokens with P times the best one's probability (default: 0, off)");
  option("--xtc-probability", "P", o.xtc_probability,
         "Chance to drop the likeliest tokens (default: 0, off)");
  option("--xtc-threshold", "P", o.xtc_threshold, "What counts as likely for XTC (default: 0.1)");
  option("--seed", "N", o.seed, "Same seed, same text (default: another each time, told)");
}

std::optional<uint64_t> seed_of(const decode::SamplerConfig& config) {
  return config.temperature > 0 ? std::optional(config.seed) : std::nullopt;
}

}  // namespace sluice::cli
