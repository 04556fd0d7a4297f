#include <fmt/format.h>

#include <chrono>
#include <cmath>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/residency_report.h"
#include "sluice/cli/text_input.h"

namespace sluice::cli {
namespace {

struct PerplexityOptions {
  ModelOptions model;
  std::string file;
  int64_t window = 512;
};

/// -log p(token) under the softmax of logits, in double.
double negative_log_likelihood(std::span<const float> logits, text::Token token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - top);
  return top + std::log(sum) - static_cast<double>(logits[static_cast<size_t>(token)]);
}

/// As llama.cpp measures it: the token stream, BOS once at its start, is cut into windows; a window's first
/// token becomes BOS where the model wants one; positions window/2 to window - 2 predict their next token.
void perplexity(PerplexityOptions o, const Globals& globals) {
  o.model.engine.context = o.window;
  o.model.engine.keep_prefixes = false;
  OpenModel engine(o.model, globals.quiet);
  const text::Tokenizer& tokenizer = engine->tokenizer();
  const auto tokens =
      tokenizer.encode(read_text(o.file), {.add_bos = true, .parse_special = false});
  engine->check_ids(tokens);  // a window's last one is looked up and never computed
  const int64_t n_windows = static_cast<int64_t>(tokens.size()) / o.window;
  if (n_windows == 0) {
    fail(ErrorKind::bad_request,
         "{}: has {} tokens, one window needs {}; give a longer text or a smaller --ctx", o.file,
         tokens.size(), o.window);
  }
  const auto start = std::chrono::steady_clock::now();
  double nll = 0;
  int64_t count = 0;
  for (int64_t w = 0; w < n_windows; ++w) {
    std::vector<text::Token> window(tokens.begin() + w * o.window,
                                    tokens.begin() + (w + 1) * o.window);
    if (tokenizer.adds_bos() && tokenizer.bos()) window[0] = *tokenizer.bos();
    const int64_t first = o.window / 2;
    // The last token predicts nothing that is scored.
    engine->logits(std::span(window).first(window.size() - 1), first,
                   [&](int64_t position, std::span<const float> logits) {
                     nll +=
                         negative_log_likelihood(logits, window[static_cast<size_t>(position) + 1]);
                     ++count;
                   });
    if (!globals.quiet)
      note(fmt::format("[{}/{}] {:.4f}", w + 1, n_windows,
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
        {"windows", n_windows},
        {"tokens_per_second", static_cast<double>(n_windows * o.window) / seconds},
        {"peak_rss_bytes", peak_rss_bytes()},
        {"residency", residency_json(*engine, engine->statistics())}};
    add_arithmetic(result, *engine);
    print_json(result);
  } else {
    print(fmt::format("perplexity {:.4f} over {} predictions in {} windows of {}\n", std::exp(mean),
                      count, n_windows, o.window));
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
