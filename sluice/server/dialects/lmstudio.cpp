#include "sluice/server/dialects/lmstudio.h"

namespace sluice::server {
namespace {

std::string_view stop_reason(const Ending& ending) {
  using Reason = engine::FinishReason;
  switch (ending.reason) {
    case Reason::max_tokens:
      return "maxPredictedTokensReached";
    case Reason::context_full:
      return "contextLengthReached";
    case Reason::stop_string:
      return "stopStringFound";
    case Reason::cancelled:
      return "userStopped";
    default:
      return ending.called_tools ? "toolCalls" : "eosFound";
  }
}

}  // namespace

void add_lmstudio(Json& body, const Head& head, const Usage& usage, const Ending& ending) {
  const double seconds = usage.decode_seconds;
  body["stats"] = {
      {"tokens_per_second",
       seconds > 0 ? static_cast<double>(usage.completion_tokens) / seconds : 0},
      {"time_to_first_token", usage.queued_seconds + usage.load_seconds + usage.prefill_seconds},
      {"generation_time", seconds},
      {"stop_reason", stop_reason(ending)}};
  body["model_info"] = {{"arch", head.facts.architecture},
                        {"quant", head.facts.quantization},
                        {"format", head.facts.format},
                        {"context_length", head.facts.context}};
  body["runtime"] = {{"name", "sluice"},
                     {"version", SLUICE_VERSION},
                     {"supported_formats", {"gguf", "safetensors"}}};
}

}  // namespace sluice::server
