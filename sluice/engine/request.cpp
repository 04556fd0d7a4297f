#include "sluice/engine/request.h"

namespace sluice::engine {

std::string_view to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::eos:
      return "stop";
    case FinishReason::stop_string:
      return "stop_string";
    case FinishReason::max_tokens:
      return "length";
    case FinishReason::context_full:
      return "context_full";
    case FinishReason::cancelled:
      return "cancelled";
  }
  return "";
}

double Result::prefill_tps() const {
  return prefill_seconds > 0 ? static_cast<double>(prompt_tokens - reused_tokens) / prefill_seconds
                             : 0;
}

double Result::decode_tps() const {
  return decode_seconds > 0 && tokens.size() > 1
             ? static_cast<double>(tokens.size() - 1) / decode_seconds
             : 0;
}

}  // namespace sluice::engine
