#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/conversation.h"
#include "sluice/cli/line_editor.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/residency_report.h"
#include "sluice/cli/sampling_options.h"
#include "sluice/cli/signals.h"
#include "sluice/cli/status_line.h"
#include "sluice/cli/terminal.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  ModelOptions model;
  SamplingOptions sampling;
  PromptOptions prompt;
  int64_t max_tokens = 1024;
};

constexpr const char* kHelp =
    "/help          this list\n"
    "/system TEXT   set the system prompt and start anew (without TEXT: show it)\n"
    "/reset         forget the conversation\n"
    "/save FILE     write the conversation to a file\n"
    "/load FILE     go on with a saved conversation\n"
    "/stats         tokens, memory and speed so far\n"
    "/exit          leave (as Ctrl-D does)\n"
    "Ctrl-C stops an answer.\n";

class Chat {
 public:
  Chat(const Options& options, engine::Engine& engine)
      : options_(options),
        engine_(engine),
        session_(engine),
        format_(engine.tokenizer(), engine.chat_template(), options.prompt),
        sampling_(options.sampling.resolve()),
        conversation_(options.prompt.system) {}

  void run() {
    if (!format_.has_template()) {
      note(
          "This model has no chat template (a base model): turns are written as \"User: ...\" and "
          "\"Assistant: ...\".");
    }
    note("/help lists the commands, Ctrl-D leaves.");
    // On a terminal a Ctrl-C just after the answer's end must not end the chat, so ours is heard throughout.
    if (stdin_is_terminal()) cancellation_.emplace(Cancellation::Of::interrupts);
    LineEditor editor(history_file());
    while (true) {
      show_status(0, 0);
      const auto line = editor.read("> ");
      if (!line || *line == "/exit") return;
      if (line->empty()) continue;
      try {
        if (line->starts_with('/')) {
          command(*line);
        } else {
          answer(*line);
        }
      } catch (const Error& error) {  // the conversation goes on
        note(fmt::format("error: {}", error.what()));
      }
    }
  }

 private:
  void command(const std::string& line) {
    const size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const std::string argument =
        space == std::string::npos ? "" : line.substr(line.find_first_not_of(' ', space));
    if (name == "/help") {
      print(kHelp);
    } else if (name == "/system") {
      if (argument.empty()) {
        print_text(conversation_.system() + "\n");
      } else {
        conversation_.set_system(argument);
        conversation_.clear();
      }
    } else if (name == "/reset") {
      conversation_.clear();
      session_.reset();
    } else if (name == "/save" && !argument.empty()) {
      conversation_.save(argument);
      note(fmt::format("{} messages saved to {}", conversation_.size(), argument));
    } else if (name == "/load" && !argument.empty()) {
      conversation_.load(argument);
      note(fmt::format("{} messages loaded", conversation_.size()));
    } else if (name == "/stats") {
      print(stats());
    } else {
      note(fmt::format("{} is not a command, or lacks its argument; /help lists them", name));
    }
  }

  void answer(const std::string& text) {
    conversation_.add("user", text);
    engine::Result result;
    try {
      result = generate();
    } catch (...) {
      conversation_.drop_last();  // what was not answered was not said
      throw;
    }
    conversation_.add("assistant", result.text);
    last_ = result;
    print("\n");
    if (result.finish_reason == engine::FinishReason::cancelled) note("(stopped)");
    if (result.finish_reason == engine::FinishReason::max_tokens) note("(ended at --max-tokens)");
    if (result.finish_reason == engine::FinishReason::context_full)
      note("(the context is full; /reset starts anew)");
  }

  engine::Result generate() {
    engine::Request request;
    request.tokens = format_.encode(format_.render(conversation_.messages()));
    request.max_tokens = options_.max_tokens;
    request.sampling = sampling_;
    request.stop = format_.stops();
    std::optional<Cancellation> of_this_answer;
    if (!cancellation_) of_this_answer.emplace(Cancellation::Of::interrupts);
    Cancellation& cancellation = cancellation_ ? *cancellation_ : *of_this_answer;
    cancellation.reset();
    request.cancel = &cancellation.asked();
    int64_t count = 0;
    streamed_before_ = engine_.statistics();
    auto start = Clock::now();
    return session_.generate(request, [&](const engine::Event& event) {
      if (count++ == 0) start = Clock::now();
      print_text(event.text);
      show_status(count, std::chrono::duration<double>(Clock::now() - start).count());
    });
  }

  void show_status(int64_t count, double seconds) {
    const double rate =
        count > 1 && seconds > 0 ? static_cast<double>(count - 1) / seconds : last_.decode_tps();
    std::string streaming;
    if (const auto now = engine_.statistics())
      streaming = "| " + streaming_line(streamed_before_ ? *now - *streamed_before_ : *now) + " ";
    status_.show(fmt::format(" {} of {} tokens | {:.1f} tok/s | KV {} | peak memory {} {}",
                             session_.tokens().size(), engine_.context(), rate,
                             to_string(engine_.kv_bytes()), to_string(Bytes{peak_rss_bytes()}),
                             streaming));
  }

  std::string stats() const {
    const auto seed = seed_of(sampling_);
    return fmt::format(
        "context    {} of {} tokens\nKV         {}\nlast       {} prompt tokens, {} of them "
        "reused, {:.1f} tok/s; "
        "{} generated, {:.1f} tok/s\nmemory     {} peak, model file {}\nloading    {:.0f} ms\n{}",
        session_.tokens().size(), engine_.context(), to_string(engine_.kv_bytes()),
        last_.prompt_tokens, last_.reused_tokens, last_.prefill_tps(), last_.tokens.size(),
        last_.decode_tps(), to_string(Bytes{peak_rss_bytes()}), to_string(engine_.file_bytes()),
        engine_.load_seconds() * 1e3, seed ? fmt::format("seed       {}\n", *seed) : "");
  }

  /// Where there is no home, lines are not kept.
  static std::filesystem::path history_file() {
    const std::filesystem::path root = engine::ModelStore::default_root();
    return root.empty() ? root : root / "chat_history";
  }

  const Options& options_;
  engine::Engine& engine_;
  engine::Session session_;
  ChatFormat format_;
  decode::SamplerConfig sampling_;
  Conversation conversation_;
  std::optional<Cancellation> cancellation_;
  StatusLine status_;
  std::optional<residency::StreamStatistics> streamed_before_;  // this answer
  engine::Result last_;
};

}  // namespace

void add_chat(CLI::App& app, Globals&) {
  CLI::App& command =
      add_command(app, "chat", "Talk with a model",
                  "sluice chat org/chat-model --system \"Answer in one sentence.\"\n"
                  "sluice chat smollm2-135m-instruct --temp 0.8 --top-p 0.95");
  const auto o = std::make_shared<Options>();
  add_model_options(command, o->model);
  command.get_option("MODEL")->required(false);  // then it is the default model
  add_prompt_options(command, o->prompt);
  command.add_option("-n,--max-tokens", o->max_tokens, "Most tokens of an answer (default: 1024)")
      ->type_name("N")
      ->check(at_least(1));
  add_sampling_options(command, o->sampling);
  command.callback([o] {
    (void)o->sampling.resolve();  // refused before the model is loaded
    OpenModel engine(o->model);
    Chat(*o, *engine).run();
    engine.finish();
  });
}

}  // namespace sluice::cli
