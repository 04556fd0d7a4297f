#include <fmt/format.h>

#include <chrono>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/prompt_cache_options.h"
#include "sluice/cli/residency_report.h"
#include "sluice/cli/run_prompt.h"
#include "sluice/cli/sampling_options.h"
#include "sluice/cli/signals.h"
#include "sluice/engine/residency_json.h"

namespace sluice::cli {
namespace {

struct RunOptions {
  ModelOptions model;
  SamplingOptions sampling;
  TextPrompt prompt;
  std::string cache;
  int64_t max_tokens = 256;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

void refuse_empty_stops(const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) {
    if (stop.empty()) fail(ErrorKind::bad_request, "--stop is empty: every text holds that");
  }
}

nlohmann::json speculation_json(const engine::Drafted& drafted) {
  const std::string_view off = drafted.off_because;
  return {{"drafted", drafted.tokens},
          {"accepted", drafted.accepted},
          {"off_because", off.empty() ? nlohmann::json() : nlohmann::json(off)}};
}

nlohmann::json pruned_json(const std::optional<engine::Pruned>& pruned) {
  if (!pruned) return nullptr;
  return {{"kept", pruned->kept}, {"of", pruned->of}};
}

nlohmann::json to_json(const engine::Engine& engine, const engine::Result& r,
                       std::optional<uint64_t> seed) {
  nlohmann::json json{{"text", r.text},
                      {"tokens", r.tokens},
                      {"prompt_tokens", r.prompt_tokens},
                      {"generation_tokens", r.tokens.size()},
                      {"prefill_tps", r.prefill_tps()},
                      {"decode_tps", r.decode_tps()},
                      {"ttft_ms", (r.queued_seconds + r.prefill_seconds) * 1e3},
                      {"load_ms", engine.load_seconds() * 1e3},
                      {"peak_rss_bytes", peak_rss_bytes()},
                      {"finish_reason", to_string(r.finish_reason)},
                      {"seed", seed ? nlohmann::json(*seed) : nlohmann::json(nullptr)},
                      {"speculation", speculation_json(r.drafted)},
                      {"pruned", pruned_json(r.pruned)},
                      {"residency", residency_json(engine, r.streaming)}};
  add_arithmetic(json, engine);
  if (const auto disk = engine.disk_cache()) {
    json["cached_tokens"] = r.reused_tokens;
    json["cache_bytes_written"] = disk->written.count;
  }
  return json;
}

/// Writing what --cache keeps, once the answer is told.
constexpr std::chrono::minutes kLastWrites{1};

void run(const RunOptions& o, const Globals& globals) {
  const decode::SamplerConfig sampling = o.sampling.resolve();  // before the model is loaded for it
  refuse_empty_stops(o.stop);
  ModelOptions model = o.model;
  const bool is_kept = !o.cache.empty();
  model.engine.keep_prefixes = is_kept;  // else there is one turn
  if (is_kept) model.engine.disk_cache = needed_disk_cache(o.cache, globals.quiet);
  OpenModel engine(model, globals.quiet);
  const auto session = is_kept ? std::make_unique<engine::Session>(*engine, salt_of(o.cache))
                               : std::make_unique<engine::Session>(*engine);
  engine::Request request;
  set_prompt(*engine, o.prompt, request);
  const Cancellation cancellation(Cancellation::Of::all);  // there is something to show now
  request.max_tokens = o.max_tokens;
  request.sampling = sampling;
  request.stop = o.stop;
  request.ignore_eos = o.ignore_eos;
  request.cancel = &cancellation.asked();
  const engine::Result result = session->generate(request, [&](const engine::Event& event) {
    if (!globals.json) print_text(event.text);
  });
  engine->flush_disk_cache(kLastWrites);
  engine.finish();
  if (globals.json) {
    print_json(to_json(*engine, result, seed_of(sampling)));
    return;
  }
  print("\n");
  if (!globals.quiet) {
    const auto seed = seed_of(sampling);
    note(fmt::format("{} prompt tokens at {:.1f} tok/s, {} generated at {:.1f} tok/s, {} peak{}",
                     result.prompt_tokens, result.prefill_tps(), result.tokens.size(),
                     result.decode_tps(), to_string(Bytes{peak_rss_bytes()}),
                     seed ? fmt::format(", seed {}", *seed) : ""));
    if (result.pruned)
      note(fmt::format("keys and values of {} prompt tokens were kept, of {}", result.pruned->kept,
                       result.pruned->of));
    if (result.drafted.tokens > 0)
      note(fmt::format("{} of {} guessed tokens were right", result.drafted.accepted,
                       result.drafted.tokens));
    if (is_kept) note(fmt::format("{} of them were in {}", result.reused_tokens, o.cache));
    if (result.streaming) note(streaming_line(*result.streaming));
  }
}

}  // namespace

void add_run(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(
      app, "run", "Answer a prompt, or complete a text",
      "sluice run -p \"What is the capital of France?\"\n"
      "sluice run org/base-model -p \"The three laws of thermodynamics are\"\n"
      "sluice run org/chat-model -p \"Why is the sky blue?\" --system \"Be brief.\" --temp 0.7\n"
      "git diff | sluice run org/chat-model --file - -n 100 --json | jq -r .text");
  const auto o = std::make_shared<RunOptions>();
  add_prompt_and_model(command, o->prompt, o->model);
  add_speculation_options(command, o->model);
  add_snap_kv_option(command, o->model);
  command
      .add_option("--cache", o->cache,
                  "Keep the prompt's keys and values on disk under this name, and begin with what "
                  "is there of it (`sluice cache`)")
      ->type_name("CACHE")
      ->check(cache_name());
  command.add_option("-n,--max-tokens", o->max_tokens, "Most tokens to generate (default: 256)")
      ->type_name("N")
      ->check(at_least(0));
  command.add_option("--stop", o->stop, "End before this text (repeatable)")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command.add_flag("--ignore-eos", o->ignore_eos, "Go on after the model's end token");
  add_sampling_options(command, o->sampling);
  add_json_flag(command, globals);
  add_quiet_flag(command, globals);
  command.callback([o, &globals] { run(*o, globals); });
}

}  // namespace sluice::cli
