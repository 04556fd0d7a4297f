#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "sluice/io/formats/gguf.h"
#include "sluice/text/tokenizer.h"

namespace sluice::text {

/// A model's Jinja chat template. Untrusted: rendering is bounded in steps, time, memory and output.
/// A template that has gone beyond its time or memory once is not run again (see rust/text, quota.rs).
class ChatTemplate {
 public:
  /// chat_template.jinja, else tokenizer_config.json's chat_template (a string, or a list of named ones:
  /// "default", and "tool_use" when tools are given). nullopt when the model has none.
  static std::optional<ChatTemplate> from_directory(const std::filesystem::path& directory);
  /// tokenizer.chat_template (and tokenizer.chat_template.NAME).
  static std::optional<ChatTemplate> from_gguf(const io::Gguf& gguf);
  /// `where` names the source in errors.
  static ChatTemplate from_source(std::string source, std::string where);

  /// As the model came with it: the default one, else the one for tools.
  const std::string& source() const {
    return default_source_.empty() ? tool_source_ : default_source_;
  }

  /// messages: [{"role", "content", ...}]; tools: array or null; args: extra template variables.
  /// The objects' keys keep their order, as templates print them.
  /// Variables: messages, tools, documents (none), add_generation_prompt, strftime_now, raise_exception and
  /// the tokenizer's named tokens (bos_token, eos_token, ...); args' replace them.
  /// Special tokens are trusted that the template spells in its own text or literals, alone or around a
  /// usual role ('<|' + message.role + '|>'), and those of its named tokens.
  /// Throws Error(bad_request) when the template raises or a limit is reached, Error(bad_model) when it
  /// does not parse.
  RenderedPrompt render(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                        const nlohmann::ordered_json& args, bool add_generation_prompt,
                        const Tokenizer& tokenizer) const;
  /// The text alone, without a tokenizer and its named tokens.
  std::string render(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                     const nlohmann::ordered_json& args, bool add_generation_prompt) const;

 private:
  ChatTemplate() : overran_(std::make_shared<std::atomic<bool>>(false)) {}

  /// `call(source, variables, limits)` renders. Both render() are this.
  template <typename Call>
  RenderedPrompt render_with(const nlohmann::ordered_json& messages,
                             const nlohmann::ordered_json& tools,
                             const nlohmann::ordered_json& args, bool add_generation_prompt,
                             Call call) const;

  std::string default_source_, tool_source_, where_;
  std::shared_ptr<std::atomic<bool>> overran_;  // shared by copies: they are one template
};

}  // namespace sluice::text
