#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/engine/probe.h"

namespace sluice::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  ModelOptions model;
  int64_t prompt = 512;
  int64_t generate = 128;
  int64_t repeats = 3;
};

struct Run {
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

/// One measured run: a fixed pseudo-random prompt, then greedy tokens.
Run measure(engine::Engine& engine, int64_t prompt, int64_t generate) {
  std::vector<text::Token> tokens;
  uint64_t state = 1;
  for (int64_t i = 0; i < prompt; ++i) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    tokens.push_back(static_cast<text::Token>((state >> 33) %
                                              static_cast<uint64_t>(engine.config().vocab_size)));
  }
  Run run;
  const auto start = Clock::now();
  auto first = start;
  int64_t count = 0;
  engine.greedy(tokens, generate + 1, [&](text::Token) {
    if (count++ == 0) first = Clock::now();
  });
  run.prefill_seconds = std::chrono::duration<double>(first - start).count();
  run.decode_seconds = std::chrono::duration<double>(Clock::now() - first).count();
  return run;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void bench(const Options& o, const Globals& globals) {
  const auto engine = open_engine(o.model);
  measure(*engine, std::min<int64_t>(o.prompt, 16), 4);  // warm-up: pages, caches, threads
  std::vector<double> prefill, decode;
  for (int64_t i = 0; i < o.repeats; ++i) {
    const Run run = measure(*engine, o.prompt, o.generate);
    prefill.push_back(run.prefill_seconds);
    decode.push_back(run.decode_seconds);
    note(fmt::format("run {}: prefill {:.1f} tok/s, decode {:.1f} tok/s", i + 1,
                     static_cast<double>(o.prompt) / run.prefill_seconds,
                     static_cast<double>(o.generate) / run.decode_seconds));
  }
  const uint64_t peak_rss = peak_rss_bytes();  // before the probes allocate
  const engine::Bandwidths probed = engine::probe_bandwidths(*engine);
  const auto active = static_cast<double>(engine->bytes_active().count);
  const double decode_tps = static_cast<double>(o.generate) / median(decode);
  const double memory_bandwidth = std::max(probed.memory, decode_tps * active);
  const double bound = memory_bandwidth / active;
  const nlohmann::json json{{"prompt_tokens", o.prompt},
                            {"generation_tokens", o.generate},
                            {"prefill_tps", static_cast<double>(o.prompt) / median(prefill)},
                            {"decode_tps", decode_tps},
                            {"ttft_ms", median(prefill) * 1e3},
                            {"load_ms", engine->load_seconds() * 1e3},
                            {"peak_rss_bytes", peak_rss},
                            {"memory_bandwidth", memory_bandwidth},
                            {"disk_bandwidth", probed.disk},
                            {"bytes_active", active},
                            {"bytes_read_per_token", 0},
                            {"hit_rate", 1.0},
                            {"bound_tps", bound},
                            {"bound_no_prediction_tps", bound},
                            {"fraction_of_bound", decode_tps / bound},
                            {"activations", engine->activations()}};
  if (globals.json) {
    print_json(json);
    return;
  }
  print(fmt::format(
      "prefill {} tokens  {:8.1f} tok/s\ndecode  {} tokens  {:8.1f} tok/s, {:.0f} % of the bound "
      "{:.1f} tok/s\n"
      "memory  {:.1f} GB/s for {} per token; disk {:.2f} GB/s; peak {}\n",
      o.prompt, json["prefill_tps"].get<double>(), o.generate, decode_tps, 100 * decode_tps / bound,
      bound, memory_bandwidth / 1e9, to_string(engine->bytes_active()), probed.disk / 1e9,
      to_string(Bytes{peak_rss})));
}

}  // namespace

void add_bench(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(
      app, "bench", "Measure speed against what the memory allows",
      "sluice bench gemma-3-270m-q4_k_m\nsluice bench my-model -p 512 -n 128 -r 5 --json");
  const auto o = std::make_shared<Options>();
  add_model_options(command, o->model);
  command.add_option("-p,--prompt-tokens", o->prompt, "Tokens of the prompt (default: 512)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command.add_option("-n,--generate-tokens", o->generate, "Tokens to generate (default: 128)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command.add_option("-r,--repeats", o->repeats, "Runs, of which the medians count (default: 3)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  add_json_flag(command, globals);
  command.callback([o, &globals] { bench(*o, globals); });
}

}  // namespace sluice::cli
