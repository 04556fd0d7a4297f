#include "sluice/text/chat_template.h"

#include <nlohmann/json.hpp>

#include "sluice/io/mapped_file.h"
#include "sluice/text/ffi.h"
#include "sluice/text/model_json.h"

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
  const auto bytes = file->bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The text of one token of the GGUF's vocabulary.
std::string gguf_token(const io::GgufMetadata& metadata, std::string_view key) {
  const auto id = metadata.integer(key);
  const auto tokens = metadata.array("tokenizer.ggml.tokens");
  if (!id || !tokens || *id < 0 || static_cast<uint64_t>(*id) >= tokens->count) return {};
  return std::string(tokens->strings()[static_cast<size_t>(*id)]);
}

}  // namespace

ChatTemplate ChatTemplate::from_source(std::string source, std::string where, std::string bos_token,
                                       std::string eos_token) {
  ChatTemplate result;
  result.default_source_ = std::move(source);
  result.where_ = std::move(where);
  result.bos_token_ = std::move(bos_token);
  result.eos_token_ = std::move(eos_token);
  return result;
}

std::optional<ChatTemplate> ChatTemplate::from_directory(const std::filesystem::path& directory) {
  const auto config_path = directory / "tokenizer_config.json";
  const nlohmann::json config = read_json_if_present(config_path);
  ChatTemplate result = from_source({}, config_path.string(), token_text(config, "bos_token"),
                                    token_text(config, "eos_token"));
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
  ChatTemplate result =
      from_source(std::string(*source), m.where, gguf_token(m, "tokenizer.ggml.bos_token_id"),
                  gguf_token(m, "tokenizer.ggml.eos_token_id"));
  result.tool_source_ = m.string("tokenizer.chat_template.tool_use").value_or("");
  return result;
}

std::string ChatTemplate::render(const nlohmann::ordered_json& messages,
                                 const nlohmann::ordered_json& tools,
                                 const nlohmann::ordered_json& args,
                                 bool add_generation_prompt) const {
  if (*overran_) fail(ErrorKind::bad_request, "{}: the chat template took too much before", where_);
  nlohmann::ordered_json context = {{"messages", messages},
                                    {"tools", tools},
                                    {"documents", nullptr},
                                    {"add_generation_prompt", add_generation_prompt}};
  if (!bos_token_.empty()) context["bos_token"] = bos_token_;
  if (!eos_token_.empty()) context["eos_token"] = eos_token_;
  if (args.is_object()) context.update(args);
  std::string text;
  try {
    text = context.dump();
  } catch (const nlohmann::json::exception&) {
    fail(ErrorKind::bad_request, "a chat message is not UTF-8");
  }
  const bool for_tools = !tools.is_null() && !tool_source_.empty();
  const std::string& source = for_tools || default_source_.empty() ? tool_source_ : default_source_;
  const auto limits = limits_for(text.size() + source.size());
  const auto rendered =
      call_rust(where_, [&] { return ffi::render_template(slice(source), slice(text), limits); });
  if (!rendered.overrun.empty()) {
    *overran_ = true;
    fail(ErrorKind::bad_request, "{}: the chat template takes too much {}", where_,
         std::string_view(rendered.overrun.data(), rendered.overrun.size()));
  }
  return std::string(rendered.text);
}

}  // namespace sluice::text
