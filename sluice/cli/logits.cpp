#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/npy.h"
#include "sluice/cli/output.h"
#include "sluice/cli/residency_report.h"
#include "sluice/cli/text_input.h"
#include "sluice/decode/sampler.h"
#include "sluice/engine/residency_json.h"

namespace sluice::cli {
namespace {

struct LogitsOptions {
  ModelOptions model;
  std::string tokens;
  std::string out;
  int64_t greedy = 0;
  int64_t n_prompt = 0;
  bool of_drafting = false;
};

/// The n tokens that follow, each the best one. Needs no tokenizer.
std::vector<text::Token> continue_greedily(engine::Engine& engine,
                                           const std::vector<text::Token>& tokens, int64_t n) {
  std::vector<text::Token> chosen;
  engine.greedy(tokens, n, [&](text::Token token) { chosen.push_back(token); });
  return chosen;
}

void logits(const LogitsOptions& o, const Globals& globals) {
  const std::vector<text::Token> tokens = parse_tokens(o.tokens);
  ModelOptions model = o.model;
  model.engine.sequence_tokens = static_cast<int64_t>(tokens.size()) + o.greedy;
  model.engine.keep_prefixes = false;
  OpenModel engine(model);
  const auto vocab = static_cast<size_t>(engine->config().vocab_size);
  if (o.n_prompt > std::ssize(tokens))
    fail(ErrorKind::bad_request, "--prompt is {} of {} tokens", o.n_prompt, tokens.size());
  const size_t n_left_out =
      o.of_drafting ? 1 : static_cast<size_t>(std::max<int64_t>(1, o.n_prompt) - 1);
  const size_t n_rows = std::max(n_left_out, tokens.size()) - n_left_out;
  NpyWriter file(o.out, n_rows, vocab);
  const auto write = [&](int64_t, std::span<const float> row) { file.write(row); };
  if (o.of_drafting) {
    engine->draft_logits(tokens, write);
  } else if (o.n_prompt > 0) {
    engine->logits_after(o.n_prompt, tokens, write);
  } else {
    engine->logits(tokens, 0, write);
  }
  file.finish();
  nlohmann::json result{{"out", o.out}, {"shape", {n_rows, vocab}}};
  add_arithmetic(result, *engine);
  if (o.greedy > 0) result["greedy"] = continue_greedily(*engine, tokens, o.greedy);
  engine.finish();
  result["residency"] = residency_json(*engine, engine->statistics());
  if (globals.json) {
    print_json(result);
  } else {
    print(fmt::format("{}: float32 [{}, {}]\n", printable(o.out), n_rows, vocab));
    if (o.greedy > 0) print(result["greedy"].dump() + "\n");
  }
}

}  // namespace

void add_logits(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(
      app, "logits", "Write the logits after every token to a .npy file",
      "sluice logits my-model --tokens 1,2,3 --out logits.npy\n"
      "sluice logits my-model --tokens @ids.txt --out logits.npy --chunk 7 --greedy 64 --json");
  const auto o = std::make_shared<LogitsOptions>();
  add_model_options(command, o->model);
  add_snap_kv_option(command, o->model);
  command.add_option("--tokens", o->tokens, "Token ids, as 1,2,3 or @FILE")
      ->required()
      ->type_name("IDS");
  command.add_option("--out", o->out, "The file to write: float32 [tokens, vocab_size]")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--greedy", o->greedy,
                  "Also give the N best tokens that follow, one after the other")
      ->type_name("N")
      ->check(at_least(0));
  CLI::Option* const prompt =
      command
          .add_option("--prompt", o->n_prompt,
                      "The first N tokens are a prompt, which --snap-kv prunes: logits from its "
                      "last token on")
          ->type_name("N")
          ->check(at_least(1));
  command
      .add_flag("--of-drafting", o->of_drafting,
                "Those of the layer that drafts tokens (MTP): what it says follows each token but "
                "the first")
      ->excludes(prompt);
  add_json_flag(command, globals);
  command.callback([o, &globals] { logits(*o, globals); });
}

}  // namespace sluice::cli
