#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/residency_report.h"
#include "sluice/engine/probe.h"
#include "sluice/engine/residency_json.h"
#include "sluice/engine/trial.h"
#include "sluice/residency/experts/replay.h"

namespace sluice::cli {
namespace {

struct BenchOptions {
  ModelOptions model;
  engine::Workload workload{.depth = 0, .prompt = 512, .generate = 128, .batch = 1};
  int64_t repeats = 3;
  bool no_warmup = false;
  bool no_probe = false;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/// A figure as JSON: null where nothing was measured.
nlohmann::json figure(std::optional<double> value) {
  return value ? nlohmann::json(*value) : nlohmann::json(nullptr);
}

/// Tokens per second of all sequences together; nothing when there were no tokens.
std::optional<double> tokens_per_second(int64_t tokens, const std::vector<double>& seconds) {
  if (tokens == 0) return std::nullopt;
  return static_cast<double>(tokens) / median(seconds);
}

/// What the runs gave, in the medians, beside what memory allows.
struct Found {
  std::optional<double> prefill_tps, decode_tps, ttft_ms;
  std::optional<double> memory_bandwidth, disk_bandwidth, bound_tps, fraction_of_bound;
  std::optional<double> bound_no_prediction_tps;
  std::optional<residency::StreamStatistics> streaming;  ///< of decoding, all runs
  double disk_reached = 0;                               ///< in the best run's decoding
  double bytes_read_per_token = 0, prefill_bytes_read = 0;
  uint64_t peak_rss_bytes = 0;
};

/// What memory and disk allow. A step reads the weights of one token once for the whole batch; keys and values
/// are not counted, nor that the sequences of a batch may use different experts. What a step must read from disk
/// is what does not fit: streamed weights, and the experts that Belady's choice would miss.
void compare_with_bound(Found& found, const engine::Bandwidths& probed, engine::Engine& engine,
                        const residency::Trace& trace, int64_t batch) {
  const double decode_tps = found.decode_tps.value_or(0), n = static_cast<double>(batch);
  const auto number = [](Bytes bytes) { return static_cast<double>(bytes.count); };
  const double active = number(engine.bytes_active());
  const double experts = number(engine.expert_bytes_active());
  const double memory = std::max(probed.memory, decode_tps / n * active);
  double streamed = 0, missed = 0, disk = probed.disk;
  if (const auto* plan = engine.plan(); plan != nullptr && !plan->mapped) {
    streamed = number(plan->dense_bytes_streamed);
    if (!trace.entries.empty()) {
      const auto slots = static_cast<int>(plan->expert_slots);
      missed = experts * (1 - residency::replay_belady(trace, slots).hit_rate());
    }
    disk = std::max(disk, found.disk_reached);
  }
  const auto read = [disk](double bytes) { return bytes > 0 ? bytes / disk : 0; };
  found.memory_bandwidth = memory;
  found.disk_bandwidth = disk;
  found.bound_tps = n / std::max(active / memory, read(streamed + missed));
  found.bound_no_prediction_tps = n / (std::max((active - experts) / memory, read(streamed)) +
                                       std::max(experts / memory, read(missed)));
  if (found.decode_tps) found.fraction_of_bound = decode_tps / *found.bound_tps;
}

Found measure(const BenchOptions& o, engine::Engine& engine) {
  const engine::Workload& w = o.workload;
  if (!o.no_warmup) {  // pages, caches, threads
    engine::Trial(engine, {.depth = 0,
                           .prompt = std::min<int64_t>(w.prompt, 16),
                           .generate = std::min<int64_t>(w.generate, 4),
                           .batch = w.batch})
        .run();
  }
  engine::Trial trial(engine, w);
  std::vector<double> prefill, decode;
  double prefill_bytes = 0;
  Found found;
  if (engine.statistics()) found.streaming.emplace();
  for (int64_t i = 0; i < o.repeats; ++i) {
    const engine::Timing run = trial.run();
    prefill.push_back(run.prefill_seconds);
    decode.push_back(run.decode_seconds);
    prefill_bytes += static_cast<double>(run.prefill_streaming.reads.bytes);
    if (found.streaming) found.streaming = *found.streaming + run.decode_streaming;
    found.disk_reached = std::max(found.disk_reached, run.decode_streaming.bytes_per_second());
    note(fmt::format("run {}: prefill {:.1f} tok/s, decode {:.1f} tok/s", i + 1,
                     tokens_per_second(w.batch * w.prompt, {run.prefill_seconds}).value_or(0),
                     tokens_per_second(w.batch * w.generate, {run.decode_seconds}).value_or(0)));
  }
  found.prefill_tps = tokens_per_second(w.batch * w.prompt, prefill);
  found.decode_tps = tokens_per_second(w.batch * w.generate, decode);
  if (w.prompt > 0) found.ttft_ms = median(prefill) * 1e3;
  const auto tokens = static_cast<double>(w.batch * w.generate * o.repeats);
  found.prefill_bytes_read = prefill_bytes / static_cast<double>(o.repeats);
  if (tokens > 0 && found.streaming)
    found.bytes_read_per_token = static_cast<double>(found.streaming->reads.bytes) / tokens;
  found.peak_rss_bytes = peak_rss_bytes();  // before the probes allocate
  if (!o.no_probe) {
    compare_with_bound(found, engine::probe_bandwidths(engine), engine, trial.trace(), w.batch);
  }
  return found;
}

nlohmann::json as_json(const Found& found, const engine::Workload& w, engine::Engine& engine) {
  nlohmann::json json{{"prompt_tokens", w.prompt},
                      {"generation_tokens", w.generate},
                      {"depth", w.depth},
                      {"batch", w.batch},
                      {"prefill_tps", figure(found.prefill_tps)},
                      {"decode_tps", figure(found.decode_tps)},
                      {"ttft_ms", figure(found.ttft_ms)},
                      {"load_ms", engine.load_seconds() * 1e3},
                      {"peak_rss_bytes", found.peak_rss_bytes},
                      {"memory_bandwidth", figure(found.memory_bandwidth)},
                      {"disk_bandwidth", figure(found.disk_bandwidth)},
                      {"bytes_active", engine.bytes_active().count},
                      {"bytes_read_per_token", found.bytes_read_per_token},
                      {"prefill_bytes_read", found.prefill_bytes_read},
                      {"hit_rate", found.streaming ? found.streaming->hit_rate() : 1.0},
                      {"bound_tps", figure(found.bound_tps)},
                      {"bound_no_prediction_tps", figure(found.bound_no_prediction_tps)},
                      {"fraction_of_bound", figure(found.fraction_of_bound)},
                      {"residency", residency_json(engine, found.streaming)}};
  add_arithmetic(json, engine);
  return json;
}

void print_table(const Found& found, const engine::Workload& w, engine::Engine& engine) {
  const std::string sequences =
      w.batch > 1 ? fmt::format(" in each of {} sequences", w.batch) : std::string();
  if (found.prefill_tps)
    print(fmt::format("prefill {} tokens{}  {:8.1f} tok/s\n", w.prompt, sequences,
                      *found.prefill_tps));
  if (found.decode_tps) {
    print(fmt::format("decode  {} tokens{}  {:8.1f} tok/s", w.generate, sequences,
                      *found.decode_tps));
    if (found.fraction_of_bound) {
      print(fmt::format(", {:.0f} % of the bound {:.1f} tok/s", 100 * *found.fraction_of_bound,
                        *found.bound_tps));
    }
    print("\n");
  }
  if (found.memory_bandwidth) {
    print(fmt::format("memory  {:.1f} GB/s for {} per token; disk {:.2f} GB/s; ",
                      *found.memory_bandwidth / 1e9, to_string(engine.bytes_active()),
                      *found.disk_bandwidth / 1e9));
  }
  if (found.bytes_read_per_token > 0) {
    print(fmt::format("read    {} per token; {}; without prediction the bound is {:.1f} tok/s\n",
                      to_string(Bytes{static_cast<uint64_t>(found.bytes_read_per_token)}),
                      streaming_line(*found.streaming), found.bound_no_prediction_tps.value_or(0)));
  }
  print(fmt::format("peak {}\n", to_string(Bytes{found.peak_rss_bytes})));
}

void bench(const BenchOptions& o, const Globals& globals) {
  if (o.workload.prompt + o.workload.generate == 0)
    fail(ErrorKind::bad_request, "there is nothing to measure: -p and -n are both 0");
  ModelOptions model = o.model;
  const engine::Workload& w = o.workload;
  model.engine.n_sequences = w.batch;
  model.engine.sequence_tokens = w.depth + w.prompt + w.generate;
  model.engine.keep_prefixes = w.depth > 0;  // every run goes back to it
  OpenModel engine(model);
  const Found found = measure(o, *engine);
  engine.finish();
  if (globals.json) {
    print_json(as_json(found, o.workload, *engine));
  } else {
    print_table(found, o.workload, *engine);
  }
}

}  // namespace

void add_bench(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(app, "bench", "Measure speed against what the memory allows",
                                  "sluice bench gemma-3-270m-q4_k_m\n"
                                  "sluice bench my-model -p 512 -n 128 -r 5 --json\n"
                                  "sluice bench my-model --depth 8192 -p 0 -n 32\n"
                                  "sluice bench my-model --batch 8");
  const auto o = std::make_shared<BenchOptions>();
  add_model_options(command, o->model);
  const auto count = [&](const char* name, int64_t& value, const char* help) {
    command.add_option(name, value, help)->type_name("N")->check(CLI::Range(0, 1 << 30));
  };
  count("-p,--prompt-tokens", o->workload.prompt, "Tokens of the prompt (default: 512)");
  count("-n,--generate-tokens", o->workload.generate, "Tokens to generate (default: 128)");
  count("--depth", o->workload.depth, "Tokens before the prompt, not timed (default: 0)");
  command
      .add_option("--batch", o->workload.batch,
                  "Sequences that decode together; speeds are of all of them (default: 1)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command.add_option("-r,--repeats", o->repeats, "Runs, of which the medians count (default: 3)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command.add_flag("--no-warmup", o->no_warmup, "Measure from the first token on");
  command.add_flag("--no-probe", o->no_probe,
                   "Leave out memory's and disk's bandwidth, and with them the bound");
  add_json_flag(command, globals);
  command.callback([o, &globals] { bench(*o, globals); });
}

}  // namespace sluice::cli
