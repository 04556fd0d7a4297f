#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sluice/decode/sampler.h"

namespace sluice::cli {

/// --temp, --top-k, --top-p, --min-p, --xtc-*, penalties, --logit-bias, --seed; unset: not on the command line.
struct SamplingOptions {
  std::optional<double> temperature, top_p, min_p, xtc_probability, xtc_threshold;
  std::optional<int64_t> top_k, penalty_window;
  std::optional<double> repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<uint64_t> seed;
  std::vector<std::string> logit_bias;  ///< "TOKEN=BIAS"

  /// What they ask for. Who names one that only samples, wants to sample: at temperature 1 unless told another.
  /// Without a seed one is made up. Throws Error(bad_request) for what is out of range or would do nothing.
  decode::SamplerConfig resolve() const;
};

void add_sampling_options(CLI::App& command, SamplingOptions& options);

/// The seed of a config that samples; nothing for one that does not.
std::optional<uint64_t> seed_of(const decode::SamplerConfig& config);

}  // namespace sluice::cli
