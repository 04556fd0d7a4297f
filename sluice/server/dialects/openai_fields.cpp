#include "sluice/server/dialects/openai_fields.h"

#include <array>

#include "sluice/server/dialects/sampling.h"

namespace sluice::server {
namespace {

// They cannot change what this server answers: they are for bills, caches, statistics and loading elsewhere.
constexpr auto kNeutral = std::to_array<std::string_view>({
    "cache_control",
    "cache_prompt",
    "client_metadata",
    "id_slot",
    "include",
    "include_reasoning",
    "keep_alive",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "return_progress",
    "safety_identifier",
    "service_tier",
    "timings_per_token",
    "ttl",
    "usage",
    "user",
    "verbosity",
});

}  // namespace

void read_openai_neutral(Fields& body) {
  body.neutral(kNeutral);
  body.only("store", {false, true}, "wanted true or false");
}

void read_openai_common(Fields& body, Ask& ask, const ReadOptions& options) {
  ask.model = body.text("model").value_or("");
  read_openai_neutral(body);
  read_sampling(body, ask, options);
  read_logit_bias(body, ask, options.limits);
  read_stops(body, "stop", ask, options.limits);
  ask.n = static_cast<int>(body.integer("n", 1, options.limits.n).value_or(1));
  ask.stream = body.boolean("stream").value_or(false);
  ask.cache_salt = body.text("cache_salt").value_or("");
  const auto best_of = body.integer("best_of", 1, options.limits.n);
  if (best_of && *best_of > ask.n) {
    refuse_field("best_of", "is above n: answers are not computed to be thrown away");
  }
}

bool read_stream_options(Fields& body) {
  auto stream = body.object("stream_options");
  if (!stream) return false;
  const bool usage = stream->boolean("include_usage").value_or(false);
  stream->neutral(std::to_array<std::string_view>(
      {"include_obfuscation", "continuous_usage_stats", "chunk_include_usage"}));
  stream->finish();
  return usage;
}

}  // namespace sluice::server
