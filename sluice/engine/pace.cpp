#include "sluice/engine/pace.h"

#include <algorithm>
#include <cmath>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace {

void smooth(double& value, double now) {
  constexpr double kWeight = 0.2;
  value = value == 0 ? now : value + kWeight * (now - value);
}

}  // namespace

std::string_view to_string(Policy policy) {
  switch (policy) {
    case Policy::balanced:
      return "balanced";
    case Policy::prefill_first:
      return "prefill-first";
    case Policy::latency:
      return "latency";
  }
  return "";
}

Policy policy_named(std::string_view name) {
  for (const Policy policy : {Policy::balanced, Policy::prefill_first, Policy::latency}) {
    if (to_string(policy) == name) return policy;
  }
  fail(ErrorKind::bad_request,
       "the scheduler's policy is {}, it must be balanced, prefill-first or latency", name);
}

void Pace::add(int64_t prompt_tokens, int64_t decode_tokens, double seconds) {
  if (prompt_tokens == 0) {
    if (decode_tokens > 0) smooth(decode_step_, seconds);
    return;
  }
  const double rest = seconds - (decode_tokens > 0 ? decode_step_ : 0);
  if (rest > 0) smooth(prompt_token_, rest / static_cast<double>(prompt_tokens));
}

int64_t Pace::prompt_tokens(bool decoding) const {
  if (!decoding || policy_ == Policy::prefill_first) return chunk_;
  const double more = policy_ == Policy::latency ? 0.5 : 3;  // of a step of decoding alone
  int64_t n = policy_ == Policy::latency ? kLeast : 4 * kLeast;
  if (decode_step_ > 0 && prompt_token_ > 0)
    n = std::llround(std::min(more * decode_step_ / prompt_token_, 1e6));
  return std::clamp(n, std::min(kLeast, chunk_), chunk_);
}

}  // namespace sluice::engine
