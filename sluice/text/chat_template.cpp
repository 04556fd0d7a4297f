#include "sluice/text/chat_template.h"

#include <nlohmann/json.hpp>

#include "sluice/io/lfs_pointer.h"
#include "sluice/io/mapped_file.h"
#include "sluice/text/ffi.h"
#include "sluice/text/model_json.h"
#include "sluice/text/rust_tokenizer.h"

namespace sluice::text {
namespace {

/// A real template takes some hundred steps a message and a few times its input's memory.
ffi::TemplateLimits limits_for(size_t input_bytes) {
  return {.steps = 4'000'000,
          .output_bytes = 16'000'000,
          .memory_bytes = 128'000'000 + 32 * input_bytes,
          .time_ms = 5'000};
}

std::string read_text(const std::filesystem::path& path) {
  const auto file = io::MappedFile::open(path);
  io::refuse_lfs_pointer(file->bytes(), path.string());
  std::string text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  if (file->changed()) fail(ErrorKind::io, "{}: became shorter while it was read", path.string());
  return text;
}

std::string to_json(const nlohmann::ordered_json& variables) {
  try {
    return variables.dump();
  } catch (const nlohmann::json::exception&) {
    fail(ErrorKind::bad_request, "a chat message is not UTF-8");
  }
}

}  // namespace

ChatTemplate ChatTemplate::from_source(std::string source, std::string where) {
  ChatTemplate result;
  result.default_source_ = std::move(source);
  result.where_ = std::move(where);
  return result;
}

std::optional<ChatTemplate> ChatTemplate::from_directory(const std::filesystem::path& directory) {
  const auto config_path = directory / "tokenizer_config.json";
  const nlohmann::json config = read_json_if_present(config_path);
  ChatTemplate result = from_source({}, config_path.string());
  const auto jinja = directory / "chat_template.jinja";
  if (std::filesystem::exists(jinja)) {
    result.where_ = jinja.string();
    result.default_source_ = read_text(jinja);
    const auto tool_use = directory / "additional_chat_templates" / "tool_use.jinja";
    if (std::filesystem::exists(tool_use)) result.tool_source_ = read_text(tool_use);
    return result;
  }
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::nullopt;
  if (found->is_string()) {
    result.default_source_ = found->get<std::string>();
    return result;
  }
  if (!found->is_array())
    fail(ErrorKind::bad_model, "{}: chat_template is neither text nor a list", result.where_);
  for (const auto& named : *found) {
    const std::string name = named.is_object() ? token_text(named, "name") : "";
    if (name == "default") result.default_source_ = token_text(named, "template");
    if (name == "tool_use") result.tool_source_ = token_text(named, "template");
  }
  if (result.default_source_.empty() && result.tool_source_.empty()) return std::nullopt;
  return result;
}

std::optional<ChatTemplate> ChatTemplate::from_gguf(const io::Gguf& gguf) {
  const auto& m = gguf.metadata;
  const auto source = m.string("tokenizer.chat_template");
  if (!source) return std::nullopt;
  ChatTemplate result = from_source(std::string(*source), m.where);
  result.tool_source_ = m.string("tokenizer.chat_template.tool_use").value_or("");
  return result;
}

template <typename Call>
RenderedPrompt ChatTemplate::render_with(const nlohmann::ordered_json& messages,
                                         const nlohmann::ordered_json& tools,
                                         const nlohmann::ordered_json& args,
                                         bool add_generation_prompt, Call call) const {
  if (*overran_) fail(ErrorKind::bad_request, "{}: the chat template took too much before", where_);
  nlohmann::ordered_json variables = {{"messages", messages},
                                      {"tools", tools},
                                      {"documents", nullptr},
                                      {"add_generation_prompt", add_generation_prompt}};
  if (args.is_object()) variables.update(args);
  const std::string text = to_json(variables);
  const bool for_tools = !tools.is_null() && !tool_source_.empty();
  const std::string& source = for_tools || default_source_.empty() ? tool_source_ : default_source_;
  const auto limits = limits_for(text.size() + source.size());
  const ffi::Rendering rendered =
      call_rust(where_, [&] { return call(slice(source), slice(text), limits); });
  if (!rendered.overrun.empty()) {
    *overran_ = true;
    fail(ErrorKind::bad_request, "{}: the chat template takes too much {}", where_,
         std::string_view(rendered.overrun.data(), rendered.overrun.size()));
  }
  RenderedPrompt prompt{std::string(rendered.text), {}};
  for (const ffi::Span& span : rendered.trusted) prompt.trusted.push_back({span.begin, span.end});
  return prompt;
}

RenderedPrompt ChatTemplate::render(const nlohmann::ordered_json& messages,
                                    const nlohmann::ordered_json& tools,
                                    const nlohmann::ordered_json& args, bool add_generation_prompt,
                                    const Tokenizer& tokenizer) const {
  const auto* with = dynamic_cast<const RustTokenizer*>(&tokenizer);
  if (with == nullptr) fail(ErrorKind::internal, "a tokenizer that is not rust/text's");
  nlohmann::ordered_json named = nlohmann::ordered_json::object();
  for (const NamedToken& token : tokenizer.named_tokens()) named[token.name] = token.text;
  const std::string own = to_json(named);
  return render_with(messages, tools, args, add_generation_prompt,
                     [&](auto source, auto variables, const auto& limits) {
                       return with->rust().render_template(source, variables, slice(own), limits);
                     });
}

std::string ChatTemplate::render(const nlohmann::ordered_json& messages,
                                 const nlohmann::ordered_json& tools,
                                 const nlohmann::ordered_json& args,
                                 bool add_generation_prompt) const {
  return render_with(messages, tools, args, add_generation_prompt,
                     [](auto source, auto variables, const auto& limits) {
                       return ffi::render_template(source, variables, limits);
                     })
      .text;
}

}  // namespace sluice::text
