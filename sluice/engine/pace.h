#pragma once

#include <cstdint>
#include <string_view>

namespace sluice::engine {

/// How prompts and decoding share a step.
enum class Policy : uint8_t {
  balanced,       ///< a prompt makes a step at most four times as long as decoding alone
  prefill_first,  ///< prompts get full chunks
  latency,        ///< a prompt makes a step at most half as long again
};
std::string_view to_string(Policy policy);
/// Throws Error(bad_request) for another name.
Policy policy_named(std::string_view name);

/// Learns how long steps take, to tell how many tokens of prompts one of them may have beside decoding (Sarathi-Serve,
/// arXiv:2403.02310, where that number is fixed).
class Pace {
 public:
  Pace(Policy policy, int64_t chunk) : policy_(policy), chunk_(chunk) {}

  /// A step of so many tokens took `seconds`.
  void add(int64_t prompt_tokens, int64_t decode_tokens, double seconds);
  /// Prompt tokens that a step may have. decoding: whether others decode in it.
  int64_t prompt_tokens(bool decoding) const;
  /// What a prompt's token takes; 0: not known.
  double prompt_token_seconds() const { return prompt_token_; }

 private:
  static constexpr int64_t kLeast = 16;  // fewer cost a step almost as much
  Policy policy_;
  int64_t chunk_;
  double decode_step_ = 0, prompt_token_ = 0;  // seconds, smoothed; 0: not known
};

}  // namespace sluice::engine
