#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "sluice/io/gguf.h"

namespace sluice::text {

/// A model's Jinja chat template. Untrusted: rendering is bounded in steps, time and output.
class ChatTemplate {
 public:
  /// chat_template.jinja, else tokenizer_config.json's chat_template (a string, or a list of named ones:
  /// "default", and "tool_use" when tools are given). nullopt when the model has none.
  static std::optional<ChatTemplate> from_directory(const std::filesystem::path& directory);
  /// tokenizer.chat_template (and tokenizer.chat_template.NAME).
  static std::optional<ChatTemplate> from_gguf(const io::Gguf& gguf);
  /// `where` names the source in errors.
  static ChatTemplate from_source(std::string source, std::string where);

  /// messages: [{"role", "content", ...}]; tools: array or null; args: extra template variables.
  /// Variables: messages, tools, add_generation_prompt, bos_token, eos_token, strftime_now, raise_exception, args'.
  /// Throws Error(bad_request) when the template raises or a limit is reached, Error(bad_model) when it does not parse.
  std::string render(const nlohmann::json& messages, const nlohmann::json& tools, const nlohmann::json& args,
                     bool add_generation_prompt) const;

 private:
  ChatTemplate() = default;
  std::string default_source_, tool_source_, where_, bos_token_, eos_token_;
};

}  // namespace sluice::text
