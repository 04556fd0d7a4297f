#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "sluice/base/printable.h"
#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/format.h"
#include "sluice/server/dialects/llama.h"
#include "sluice/server/dialects/prompt.h"
#include "sluice/server/dialects/sampling.h"

namespace sluice::server {
namespace {

constexpr auto kNeutral = std::to_array<std::string_view>({
    "cache_prompt",          "dry_allowed_length",  "dry_base",          "dry_penalty_last_n",
    "dry_sequence_breakers", "dynatemp_exponent",   "id_slot",           "min_keep",
    "mirostat_eta",          "mirostat_tau",        "n_discard",         "n_keep",
    "penalize_nl",           "post_sampling_probs", "return_progress",   "slot_id",
    "speculative.n_max",     "speculative.n_min",   "speculative.p_min", "t_max_prompt_ms",
    "timings_per_token",
});

/// The stages that are named run, and those alone; their order is ours.
void read_samplers(Fields& body, Ask& ask) {
  const Json* list = body.array("samplers", 32);
  if (!list) return;
  std::vector<std::string> names;
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string path = indexed("samplers", i);
    names.push_back(to_text((*list)[i], path));
    static constexpr auto kKnown =
        std::to_array<std::string_view>({"dry", "infill", "min_p", "penalties", "temperature",
                                         "top_k", "top_n_sigma", "top_p", "typ_p", "xtc"});
    if (std::ranges::find(kKnown, names.back()) == kKnown.end()) {
      refuse_field(path, fmt::format("\"{}\" is no sampler", printable_name(names.back())));
    }
  }
  const auto has = [&](const char* name) { return std::ranges::find(names, name) != names.end(); };
  if (!has("temperature") && ask.sampling.temperature > 0) ask.sampling.temperature = 1;
  if (!has("top_k")) ask.sampling.top_k = 0;
  if (!has("top_p")) ask.sampling.top_p = 1;
  if (!has("min_p")) ask.sampling.min_p = 0;
  if (!has("xtc")) ask.sampling.xtc_probability = 0;
  if (!has("penalties")) {
    ask.sampling.repetition_penalty = 1;
    ask.sampling.presence_penalty = ask.sampling.frequency_penalty = 0;
  }
}

void read_common(Fields& body, Ask& ask, LlamaTelling& telling, const ReadOptions& options) {
  ask.model = body.text("model").value_or("");
  body.neutral(kNeutral);
  read_sampling(body, ask, options);
  read_logit_bias(body, ask, options.limits);
  read_samplers(body, ask);
  read_stops(body, "stop", ask, options.limits);
  read_max_tokens(body, {"n_predict", "max_tokens"}, 0, ask, options.limits);
  read_grammars(body, ask, options.limits);
  body.only("mirostat", {0}, "mirostat sampling is not there; leave it out");
  body.only("dry_multiplier", {0}, "DRY sampling is not there; leave it out");
  body.only("dynatemp_range", {0}, "a changing temperature is not there; leave it out");
  body.only("top_n_sigma", {-1, 0}, "top-n-sigma sampling is not there; leave it out");
  body.only("n", {1}, "one answer a request is given here");
  body.only("n_cmpl", {1}, "one answer a request is given here");
  body.only("lora", {Json::array()}, "adapters cannot be changed in a request");
  if (const auto n = body.integer("n_probs", 0, options.limits.top_logprobs); n && *n > 0) {
    ask.top_logprobs = static_cast<int>(*n);
  }
  ask.max_decode_ms = body.integer("t_max_predict_ms", -1, INT32_MAX);
  if (ask.max_decode_ms && *ask.max_decode_ms <= 0) ask.max_decode_ms.reset();
  ask.stream = body.boolean("stream").value_or(false);
  telling.with_tokens = body.boolean("return_tokens").value_or(false);
  telling.n_indent = body.integer("n_indent", 0, INT32_MAX).value_or(0);
  if (telling.n_indent > 0 && ask.stream) {
    refuse_field("n_indent", "is only for answers that are not streamed");
  }
  if (const Json* fields = body.array("response_fields", 256)) {
    telling.response_fields.emplace();
    for (size_t i = 0; i < fields->size(); ++i) {
      telling.response_fields->push_back(to_text((*fields)[i], indexed("response_fields", i)));
    }
  }
}

Asked read_completion(const Json& json, const ReadOptions& options) {
  Asked asked;
  LlamaTelling telling;
  Fields body(json, "");
  auto& text = asked.ask.prompt.emplace<Ask::Text>();
  read_common(body, asked.ask, telling, options);
  if (!body.has("prompt")) {
    refuse_field("prompt", "is missing, wanted a string or token ids",
                 "missing_required_parameter");
  }
  text.prompt = read_prompt(*body.any("prompt"), "prompt");
  text.raw = true;
  body.finish();
  asked.writer = llama_writer(asked.ask, std::move(telling));
  return asked;
}

/// {"filename", "text"}, which llama.vim cuts from open files.
Ask::Text::File read_file(const Json& value, const std::string& path) {
  Fields fields(value, path);
  Ask::Text::File file{.name = fields.text("filename").value_or(""),
                       .text = fields.required_text("text")};
  fields.neutral(std::to_array<std::string_view>({"time"}));
  fields.finish();
  return file;
}

Asked read_infill(const Json& json, const ReadOptions& options) {
  Asked asked;
  LlamaTelling telling;
  Fields body(json, "");
  auto& text = asked.ask.prompt.emplace<Ask::Text>();
  read_common(body, asked.ask, telling, options);
  text.prompt = body.text("input_prefix").value_or("") + body.text("prompt").value_or("");
  text.suffix = body.text("input_suffix").value_or("");
  const Json* files = body.array("input_extra", options.limits.messages);
  for (size_t i = 0; files && i < files->size(); ++i) {
    text.files.push_back(read_file((*files)[i], indexed("input_extra", i)));
  }
  body.finish();
  asked.writer = llama_writer(asked.ask, std::move(telling));
  return asked;
}

}  // namespace

const Dialect kLlamaCompletion{"llama-completion", read_completion, openai_error};
const Dialect kLlamaInfill{"llama-infill", read_infill, openai_error};

}  // namespace sluice::server
