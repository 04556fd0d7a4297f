#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sluice/engine/engine.h"
#include "sluice/engine/session.h"

namespace sluice::cli {

/// The options of every command that loads a model.
struct ModelOptions {
  std::string model;
  engine::EngineOptions engine;
  std::string draft_model;  ///< a MODEL that guesses tokens; empty: none does
  std::filesystem::path timeline;
};

/// Where a model is that a command line names; the default one for an empty name. Throws Error(bad_request).
std::filesystem::path resolve_model(const std::string& model);

/// The required MODEL.
void add_model_argument(CLI::App& command, std::string& model);
/// What decides how much a step takes: threads, --kv-type, --state-type, --chunk, --exact-activations.
void add_step_options(CLI::App& command, ModelOptions& options);
/// --spill and --spill-limit. Returns the first.
CLI::Option* add_spill_options(CLI::App& command, ModelOptions& options);
/// --speculate and --draft-model, of commands that generate.
void add_speculation_options(CLI::App& command, ModelOptions& options);
/// --snap-kv, of commands that generate or plan for it.
void add_snap_kv_option(CLI::App& command, ModelOptions& options);
/// --ctx.
void add_context_option(CLI::App& command, ModelOptions& options);
/// MODEL and what every command takes that loads one: threads, memory, how weights and activations are held.
void add_engine_options(CLI::App& command, ModelOptions& options);
/// These, --ctx and --kv-reserve.
void add_model_options(CLI::App& command, ModelOptions& options);

/// Takes whole numbers from `least` to 10^12, so that a few of them may be added.
CLI::Validator at_least(int64_t least);

/// The model that the options name, and the files in which they want it followed.
class OpenModel {
 public:
  /// Says on stderr what is lossy, and that a context is beyond the trained one; quiet: it does not.
  explicit OpenModel(const ModelOptions& options, bool quiet = false);
  /// Finishes what was begun, also where an error or a closed pipe ends the command: that is when one wants to see it.
  ~OpenModel();
  OpenModel(const OpenModel&) = delete;
  OpenModel& operator=(const OpenModel&) = delete;

  engine::Engine& operator*() const { return *engine_; }
  engine::Engine* operator->() const { return engine_.get(); }

  /// Writes --timeline, --record-trace and --profile, once. Throws Error(io).
  void finish();

 private:
  bool finished_ = false;
  std::unique_ptr<Timeline> timeline_;  // outlives the engine
  std::unique_ptr<engine::Engine> engine_;
};

/// How a prompt becomes tokens.
struct PromptOptions {
  std::string system;
  std::string chat_template;       ///< a file to use instead of the model's
  std::string chat_template_args;  ///< a JSON object of extra template variables
  bool raw = false;                ///< the text as it is, no template
  bool allow_special = false;      ///< special tokens are read in the messages too
};
void add_prompt_options(CLI::App& command, PromptOptions& options);

/// Renders a conversation: [{"role", "content"}, ...]. Uses --chat-template, else the model's template, else
/// (a base model) the plain one that chat documents.
class ChatFormat {
 public:
  /// `tokenizer` outlives it; `own` is the model's template, if it has one.
  ChatFormat(const text::Tokenizer& tokenizer, const text::ChatTemplate* own,
             const PromptOptions& options);
  /// Whether there is a template, the model's or the user's.
  bool has_template() const { return template_.has_value(); }
  /// `tools`: an array as templates take it, or null.
  text::RenderedPrompt render(const nlohmann::ordered_json& messages,
                              const nlohmann::ordered_json& tools = nullptr) const;
  std::vector<text::Token> encode(const text::RenderedPrompt& prompt) const;
  /// Strings at which the plain format's answer ends.
  std::vector<std::string> stops() const;

 private:
  const text::Tokenizer& tokenizer_;
  std::optional<text::ChatTemplate> template_;
  nlohmann::ordered_json args_ = nlohmann::ordered_json::object();
  bool allow_special_;
};

/// A token's text in quotes, so that its spaces show; safe for a terminal.
std::string token_piece(const text::Tokenizer& tokenizer, text::Token token);

/// Most memory the process has had resident, bytes.
uint64_t peak_rss_bytes();

}  // namespace sluice::cli
