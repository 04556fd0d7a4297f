#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/conversation.h"
#include "sluice/cli/line_editor.h"
#include "sluice/cli/local_partner.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/cli/remote_partner.h"
#include "sluice/cli/sampling_options.h"
#include "sluice/cli/signals.h"
#include "sluice/cli/status_line.h"
#include "sluice/cli/terminal.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling;
  PromptOptions prompt;
  int64_t max_tokens = 1024;
  std::string url, api_key;  // of a server; empty: the model is loaded here
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
  Chat(ChatPartner& partner, std::string system)
      : partner_(partner), conversation_(std::move(system)) {}

  void run() {
    if (const std::string greeting = partner_.greeting(); !greeting.empty()) note(greeting);
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
      partner_.reset();
    } else if (name == "/save" && !argument.empty()) {
      conversation_.save(argument);
      note(fmt::format("{} messages saved to {}", conversation_.size(), argument));
    } else if (name == "/load" && !argument.empty()) {
      conversation_.load(argument);
      note(fmt::format("{} messages loaded", conversation_.size()));
    } else if (name == "/stats") {
      print(partner_.stats(last_));
    } else {
      note(fmt::format("{} is not a command, or lacks its argument; /help lists them", name));
    }
  }

  void answer(const std::string& text) {
    conversation_.add("user", text);
    ChatAnswer answer;
    try {
      answer = ask();
    } catch (...) {
      conversation_.drop_last();  // what was not answered was not said
      throw;
    }
    conversation_.add("assistant", answer.text);
    last_ = answer;
    print("\n");
    if (answer.finish_reason == engine::FinishReason::cancelled) note("(stopped)");
    if (answer.finish_reason == engine::FinishReason::max_tokens) note("(ended at --max-tokens)");
    if (answer.finish_reason == engine::FinishReason::context_full)
      note("(the context is full; /reset starts anew)");
  }

  ChatAnswer ask() {
    std::optional<Cancellation> of_this_answer;
    if (!cancellation_) of_this_answer.emplace(Cancellation::Of::interrupts);
    Cancellation& cancellation = cancellation_ ? *cancellation_ : *of_this_answer;
    cancellation.reset();
    int64_t count = 0;
    auto start = Clock::now();
    const auto on_text = [&](std::string_view text) {
      if (count++ == 0) start = Clock::now();
      print_text(text);
      show_status(count, std::chrono::duration<double>(Clock::now() - start).count());
    };
    return partner_.answer(conversation_.messages(), on_text, cancellation.asked());
  }

  /// count: pieces of the answer that have come in so many seconds, each about a token.
  void show_status(int64_t count, double seconds) {
    const double rate =
        count > 1 && seconds > 0 ? static_cast<double>(count - 1) / seconds : last_.decode_tps;
    status_.show(partner_.status(rate));
  }

  /// Where there is no home, lines are not kept.
  static std::filesystem::path history_file() {
    const std::filesystem::path root = engine::ModelStore::default_root();
    return root.empty() ? root : root / "chat_history";
  }

  ChatPartner& partner_;
  Conversation conversation_;
  std::optional<Cancellation> cancellation_;
  StatusLine status_;
  ChatAnswer last_;
};

void chat_here(const ChatOptions& o) {
  LocalOptions options{
      .prompt = o.prompt, .sampling = o.sampling.resolve(), .max_tokens = o.max_tokens};
  OpenModel engine(o.model);
  const auto partner = make_local_partner(*engine, std::move(options));
  Chat(*partner, o.prompt.system).run();
  engine.finish();
}

void chat_elsewhere(const ChatOptions& o) {
  const auto partner = make_remote_partner({.url = o.url,
                                            .api_key = o.api_key,
                                            .model = o.model.model,
                                            .sampling = o.sampling,
                                            .max_tokens = o.max_tokens});
  Chat(*partner, o.prompt.system).run();
}

}  // namespace

void add_chat(CLI::App& app, Globals&) {
  CLI::App& command =
      add_command(app, "chat", "Talk with a model",
                  "sluice chat org/chat-model --system \"Answer in one sentence.\"\n"
                  "sluice chat smollm2-135m-instruct --temp 0.8 --top-p 0.95\n"
                  "sluice chat --url http://127.0.0.1:8080");
  const auto o = std::make_shared<ChatOptions>();
  add_model_options(command, o->model);
  add_speculation_options(command, o->model);
  add_snap_kv_option(command, o->model);
  add_prompt_options(command, o->prompt);
  std::vector<CLI::Option*> of_loading = command.get_options();  // which a server has done
  std::erase_if(of_loading, [](const CLI::Option* option) {
    return option->get_name() == "MODEL" || option->check_name("--system") ||
           option->check_name("--help");
  });
  command.get_option("MODEL")->required(false);  // then it is the default model
  auto* const url =
      command
          .add_option("--url", o->url,
                      "Talk with a server of OpenAI's API, whose model of that name MODEL is")
          ->type_name("URL");
  for (CLI::Option* option : of_loading) url->excludes(option);
  command.add_option("--api-key", o->api_key, "The key that the server wants")
      ->type_name("KEY")
      ->needs(url);
  command.add_option("-n,--max-tokens", o->max_tokens, "Most tokens of an answer (default: 1024)")
      ->type_name("N")
      ->check(at_least(1));
  add_sampling_options(command, o->sampling);
  command.callback([o] {
    (void)o->sampling.resolve();  // refused before the model is loaded
    if (o->url.empty()) {
      chat_here(*o);
    } else {
      chat_elsewhere(*o);
    }
  });
}

}  // namespace sluice::cli
