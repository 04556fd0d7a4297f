#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "sluice/engine/engine.h"
#include "sluice/server/answers/call_grammar.h"
#include "sluice/server/answers/constraint.h"
#include "sluice/server/answers/splitter.h"
#include "sluice/server/answers/think_limit.h"
#include "sluice/server/ask.h"
#include "sluice/server/dialects/model_info.h"
#include "sluice/server/dialects/roles.h"
#include "sluice/server/serving/markers.h"

namespace sluice::server {

/// A prompt as the engine takes it.
struct Prompt {
  std::vector<text::Token> tokens = {};
  std::string text = {};               ///< what they say
  std::vector<std::string> stop = {};  ///< beside those asked for
  int64_t max_tokens = 0;              ///< that may follow
  bool has_bos = false;                ///< the first token was put before what was given
  Markup markup = {};                  ///< of the answer
  std::string begun = {};              ///< of a call that is wanted: the prompt ends with it
  std::optional<CallRule> calls = std::nullopt;        ///< they have to fit it
  std::optional<int64_t> think_budget = std::nullopt;  ///< tokens
  bool continues_text = false;                         ///< as engine::Request has it
};

/// A loaded model with what answering needs to know of it. Const once made, so any thread may ask it.
class ServedModel {
 public:
  /// usual_answer: most tokens of one whose request names no number; 0: what the context holds.
  ServedModel(std::string name, std::shared_ptr<engine::Engine> engine, int64_t usual_answer = 0);

  const std::string& name() const { return info_.id; }
  const ModelInfo& info() const { return info_; }
  engine::Engine& engine() const { return *engine_; }

  /// Of each prompt in turn. Throws Refusal for what does not fit the context, and for what the model cannot do.
  std::vector<Prompt> prompts_of(const Ask& ask) const;
  /// Most tokens that may follow so many of a prompt. Throws Refusal where none may.
  int64_t room_after(const Ask& ask, int64_t prompt_tokens) const;
  /// What the answer has to be made of; null: of anything. A call that the prompt has begun comes before the format.
  /// Throws Refusal for a definition that cannot be used.
  std::shared_ptr<engine::Constraint> constraint_of(const Format& format,
                                                    const Prompt& prompt) const;
  /// A control token that begins or ends something in the answer, as text; empty for all others.
  std::string_view marker(text::Token token) const;
  /// With its bytes.
  ScoredToken scored(const engine::TokenLogprob& token) const;
  /// A prompt's tokens, each with its probability behind those before it, and so many best ones in its place. The
  /// engine computes them in one go, for which all answers wait.
  std::vector<ScoredToken> scored_prompt(const Prompt& prompt, int n_top) const;

 private:
  void find_markers();
  void describe();
  Prompt chat_prompt(const Ask::Chat& chat) const;
  Prompt text_prompt(const Ask::Text& text, const TextPrompt::Given& given) const;
  std::vector<text::Token> gap_tokens(const Ask::Text& text, const TextPrompt::Given& given) const;
  void begin_wanted_call(const Ask::Chat& chat, text::RenderedPrompt& rendered,
                         Prompt& prompt) const;
  void begin_channel_call(const Ask::Chat& chat, text::RenderedPrompt& rendered,
                          Prompt& prompt) const;
  std::shared_ptr<engine::Constraint> form_of(const Format& format, const Prompt& prompt) const;
  ThinkLimit think_limit(const Prompt& prompt) const;
  std::optional<CallRule> strict_calls(const Ask::Chat& chat) const;
  const std::shared_ptr<const text::Grammars>& grammars() const;
  Markup markup_of(const Ask::Chat& chat, const std::string& rendered) const;

  std::shared_ptr<engine::Engine> engine_;
  ModelInfo info_;
  int64_t usual_answer_;
  TemplateAbilities abilities_;
  const ThinkMarks* think_ = nullptr;  // null: it does not, or has channels
  bool has_channels_ = false;
  bool bare_calls_ = false;    // calls have no marker, or one that not all have
  bool listed_calls_ = false;  // they stand in an array
  bool json_calls_ = false;    // each is JSON behind a marker of its own
  std::unordered_map<text::Token, std::string> markers_;
  mutable std::once_flag grammars_made_;  // by the first answer that has a format
  mutable std::shared_ptr<const text::Grammars> grammars_;
};

/// As if the template had spelled it: control tokens in it count.
void append_trusted(text::RenderedPrompt& rendered, std::string_view text);

}  // namespace sluice::server
