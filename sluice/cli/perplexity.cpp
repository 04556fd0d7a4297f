#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/residency_report.h"
#include "sluice/cli/text_input.h"
#include "sluice/cli/text_windows.h"
#include "sluice/engine/logprobs.h"
#include "sluice/engine/residency_json.h"

namespace sluice::cli {
namespace {

struct PerplexityOptions {
  ModelOptions model;
  std::string file;
  int64_t window = 512;
};

void perplexity(PerplexityOptions o, const Globals& globals) {
  o.model.engine.context = o.window;
  o.model.engine.keep_prefixes = false;
  OpenModel engine(o.model, globals.quiet);
  const TextWindows windows(*engine, read_text(o.file), o.file, o.window);
  const auto start = std::chrono::steady_clock::now();
  double nll = 0;
  int64_t count = 0;
  for (int64_t w = 0; w < windows.count(); ++w) {
    windows.each_prediction(*engine, w, [&](std::span<const float> logits, text::Token next) {
      nll += engine::log_sum(logits) - static_cast<double>(logits[static_cast<size_t>(next)]);
      ++count;
    });
    if (!globals.quiet)
      note(fmt::format("[{}/{}] {:.4f}", w + 1, windows.count(),
                       std::exp(nll / static_cast<double>(count))));
  }
  engine.finish();
  const double mean = nll / static_cast<double>(count);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (globals.json) {
    nlohmann::json result{
        {"ppl", std::exp(mean)},
        {"nll", mean},
        {"tokens", count},
        {"windows", windows.count()},
        {"tokens_per_second", static_cast<double>(windows.count() * o.window) / seconds},
        {"peak_rss_bytes", peak_rss_bytes()},
        {"residency", residency_json(*engine, engine->statistics())}};
    add_arithmetic(result, *engine);
    print_json(result);
  } else {
    print(fmt::format("perplexity {:.4f} over {} predictions in {} windows of {}\n", std::exp(mean),
                      count, windows.count(), o.window));
  }
}

}  // namespace

void add_perplexity(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(app, "perplexity", "Measure how well a model predicts a text",
                                  "sluice perplexity gemma-3-270m-q4_k_m --file book.txt\n"
                                  "sluice perplexity my-model --file book.txt --ctx 2048 --json");
  const auto o = std::make_shared<PerplexityOptions>();
  add_engine_options(command, o->model);
  command.add_option("--file", o->file, "The text, - for stdin")->required()->type_name("FILE");
  command.add_option("--ctx", o->window, "Tokens per window (default: 512)")
      ->type_name("N")
      ->check(CLI::Range(4, 1 << 20));
  add_json_flag(command, globals);
  add_quiet_flag(command, globals);
  command.callback([o, &globals] { perplexity(*o, globals); });
}

}  // namespace sluice::cli
