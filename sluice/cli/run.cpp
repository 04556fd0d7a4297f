#include <fmt/format.h>

#include <atomic>
#include <csignal>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/conversation.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/residency_report.h"

namespace sluice::cli {
namespace {

struct Options {
  ModelOptions model;
  SamplingOptions sampling;
  PromptOptions prompt;
  std::string text;
  std::string file;
  int64_t max_tokens = 256;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

void set_prompt(const engine::Engine& engine, const Options& o, engine::Request& request) {
  const text::Tokenizer& tokenizer = engine.tokenizer();
  const std::string prompt = o.file.empty() ? o.text : read_text(o.file);
  const ChatFormat format(tokenizer, engine.chat_template(), o.prompt);
  if (o.prompt.raw || !format.has_template()) {  // a base model completes the text
    if (!o.prompt.system.empty()) {
      fail(ErrorKind::bad_request, "--system needs a chat template, and {}",
           o.prompt.raw ? "--raw turns it off"
                        : "this model has none; give one with --chat-template");
    }
    const bool parse_special = o.prompt.raw || o.prompt.allow_special;
    request.tokens = tokenizer.encode(prompt, {.add_bos = true, .parse_special = parse_special});
    request.continues_text = true;
    return;
  }
  Conversation conversation(o.prompt.system);
  conversation.add("user", prompt);
  request.tokens = format.encode(format.render(conversation.messages()));
}

nlohmann::json to_json(const engine::Engine& engine, const engine::Result& r) {
  return {{"text", r.text},
          {"tokens", r.tokens},
          {"prompt_tokens", r.prompt_tokens},
          {"generation_tokens", r.tokens.size()},
          {"prefill_tps", r.prefill_tps()},
          {"decode_tps", r.decode_tps()},
          {"ttft_ms", r.prefill_seconds * 1e3},
          {"load_ms", engine.load_seconds() * 1e3},
          {"peak_rss_bytes", peak_rss_bytes()},
          {"finish_reason", to_string(r.finish_reason)},
          {"activations", engine.activations()},
          {"lossy", lossy_json(engine)},
          {"residency", residency_json(engine, r.streaming)}};
}

std::atomic<bool> interrupted{false};

void run(const Options& o, const Globals& globals) {
  const decode::SamplerConfig sampling = o.sampling.resolve();  // before the model is loaded for it
  ModelOptions model = o.model;
  model.engine.checkpoints = false;  // there is one turn
  OpenModel engine(model);
  engine::Session session(*engine);
  std::signal(SIGINT, [](int) {
    if (interrupted.exchange(true))
      std::_Exit(130);  // the second Ctrl-C does not wait for the step
  });
  engine::Request request;
  set_prompt(*engine, o, request);
  request.max_tokens = o.max_tokens;
  request.sampling = sampling;
  request.stop = o.stop;
  request.ignore_eos = o.ignore_eos;
  request.cancel = &interrupted;
  const engine::Result result = session.generate(request, [&](const engine::Event& event) {
    if (!globals.json) print(printable_text(event.text));
  });
  engine.finish();
  if (globals.json) {
    print_json(to_json(*engine, result));
    return;
  }
  print("\n");
  if (!globals.quiet) {
    note(fmt::format("{} prompt tokens at {:.1f} tok/s, {} generated at {:.1f} tok/s, {} peak",
                     result.prompt_tokens, result.prefill_tps(), result.tokens.size(),
                     result.decode_tps(), to_string(Bytes{peak_rss_bytes()})));
    if (result.streaming) note(streaming_line(*result.streaming));
  }
}

}  // namespace

void add_run(CLI::App& app, Globals& globals) {
  CLI::App& command = add_command(
      app, "run", "Answer a prompt, or complete a text",
      "sluice run gemma-3-270m-q4_k_m -p \"The three laws of thermodynamics are\"\n"
      "sluice run org/chat-model -p \"Why is the sky blue?\" --system \"Be brief.\" --temp 0.7\n"
      "git diff | sluice run org/chat-model --file - -n 100 --json | jq -r .text");
  const auto o = std::make_shared<Options>();
  add_text_options(command, o->text, o->file);
  add_model_options(command, o->model);
  add_prompt_options(command, o->prompt);
  command.add_flag(
      "--raw", o->prompt.raw,
      "Complete the text as it is, special tokens included, without the chat template");
  command.add_option("-n,--max-tokens", o->max_tokens, "Most tokens to generate (default: 256)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
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
