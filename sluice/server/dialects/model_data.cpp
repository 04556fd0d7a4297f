#include <fmt/format.h>

#include "sluice/server/dialects/data_asks.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/dialects/model_info.h"
#include "sluice/server/dialects/telling.h"

namespace sluice::server {
namespace {

/// OpenAI's object, Anthropic's, and where OpenAI's clients look for the size of the context.
Json model_object(const ModelInfo& model) {
  return {{"id", model.id},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "sluice"},
          {"type", "model"},
          {"display_name", model.id},
          {"created_at", rfc3339(model.created)},
          {"max_model_len", model.context},
          {"meta",
           {{"n_ctx", model.context},
            {"n_ctx_train", model.trained_context},
            {"n_vocab", model.vocab_size},
            {"n_embd", model.hidden_size},
            {"n_params", model.n_parameters},
            {"size", model.file_bytes}}}};
}

std::string_view lmstudio_state(ModelInfo::State state) {
  switch (state) {
    case ModelInfo::State::loaded:
      return "loaded";
    case ModelInfo::State::loading:
      return "loading";
    default:
      return "not-loaded";
  }
}

/// Its readers know these words and no others.
Json lmstudio_object(const ModelInfo& model) {
  Json object{{"id", model.id},
              {"object", "model"},
              {"type", model.embeds && !model.chats ? "embeddings" : "llm"},
              {"publisher", "sluice"},
              {"arch", model.architecture},
              {"compatibility_type", model.format == "gguf" ? "gguf" : "mlx"},
              {"quantization", model.quantization},
              {"state", lmstudio_state(model.state)},
              {"max_context_length", model.context},
              {"capabilities", model.tools ? Json::array({"tool_use"}) : Json::array()}};
  if (model.state == ModelInfo::State::loaded) object["loaded_context_length"] = model.context;
  return object;
}

/// "1.7B", "135M"
std::string parameter_size(uint64_t n) {
  const auto count = static_cast<double>(n);
  if (n >= 1'000'000'000) return fmt::format("{:.1f}B", count / 1e9);
  return fmt::format("{:.0f}M", count / 1e6);
}

Json ollama_details(const ModelInfo& model) {
  return {{"parent_model", ""},
          {"format", model.format},
          {"family", model.architecture},
          {"families", Json::array({model.architecture})},
          {"parameter_size", parameter_size(model.n_parameters)},
          {"quantization_level", model.quantization}};
}

Json ollama_entry(const ModelInfo& model) {
  return {
      {"name", model.id},         {"model", model.id},      {"modified_at", rfc3339(model.created)},
      {"size", model.file_bytes}, {"digest", model.digest}, {"details", ollama_details(model)}};
}

Json ollama_capabilities(const ModelInfo& model) {
  Json list = Json::array();
  if (model.embeds && !model.chats) return Json::array({"embedding"});
  list.push_back("completion");
  if (model.tools) list.push_back("tools");
  if (model.thinks) list.push_back("thinking");
  if (model.fills_gaps) list.push_back("insert");
  return list;
}

Json ollama_model_info(const ModelInfo& model) {
  const std::string& arch = model.architecture;
  return {{"general.architecture", arch},
          {"general.parameter_count", model.n_parameters},
          {arch + ".context_length", model.context},
          {arch + ".embedding_length", model.hidden_size},
          {arch + ".block_count", model.n_layers}};
}

/// The model's own, in Jinja. continue.dev fills gaps only if it sees .Suffix in it, which is no more than a comment
/// there.
std::string ollama_template(const ModelInfo& model) {
  if (model.chat_template.empty())
    return model.fills_gaps ? "{{ .Prompt }}{{ .Suffix }}" : "{{ .Prompt }}";
  return model.chat_template + (model.fills_gaps ? "{# .Suffix #}" : "");
}

}  // namespace

std::string models_body(const std::vector<ModelInfo>& models) {
  Json data = Json::array();
  for (const ModelInfo& model : models) data.push_back(model_object(model));
  const Json first = models.empty() ? Json() : Json(models.front().id);
  const Json last = models.empty() ? Json() : Json(models.back().id);
  return dump({{"object", "list"},
               {"data", std::move(data)},
               {"has_more", false},
               {"first_id", first},
               {"last_id", last},
               // Codex fails without this list; its entries must be whole, so it is left empty.
               {"models", Json::array()}});
}

std::string model_body(const ModelInfo& model) { return dump(model_object(model)); }

std::string lmstudio_models_body(const std::vector<ModelInfo>& models) {
  Json data = Json::array();
  for (const ModelInfo& model : models) data.push_back(lmstudio_object(model));
  return dump({{"object", "list"}, {"data", std::move(data)}});
}

std::string lmstudio_model_body(const ModelInfo& model) { return dump(lmstudio_object(model)); }

std::string ollama_tags_body(const std::vector<ModelInfo>& models) {
  Json list = Json::array();
  for (const ModelInfo& model : models) list.push_back(ollama_entry(model));
  return dump({{"models", std::move(list)}});
}

std::string ollama_ps_body(const std::vector<ModelInfo>& models) {
  constexpr int64_t kForever = 4102444800;  // 2100: what never ends must be a date, too
  Json list = Json::array();
  for (const ModelInfo& model : models) {
    if (model.state != ModelInfo::State::loaded) continue;
    Json entry = ollama_entry(model);
    entry["size"] = model.resident_bytes;
    entry["size_vram"] = 0;
    entry["expires_at"] = rfc3339(model.expires_at > 0 ? model.expires_at : kForever);
    entry["context_length"] = model.context;
    list.push_back(std::move(entry));
  }
  return dump({{"models", std::move(list)}});
}

std::string read_ollama_show(const Json& json) {
  Fields body(json, "");
  auto name = body.text("model");
  const auto old_name = body.text("name");
  body.neutral(std::to_array<std::string_view>({"options", "system", "template", "verbose"}));
  body.finish();
  return name && !name->empty() ? *name : old_name.value_or("");
}

PullAsk read_ollama_pull(const Json& json) {
  Fields body(json, "");
  const auto name = body.text("model");
  const auto old_name = body.text("name");
  PullAsk ask{.model = name && !name->empty() ? *name : old_name.value_or(""),
              .stream = body.boolean("stream").value_or(true)};
  body.only("insecure", {false}, "connections are checked as the server's environment says");
  body.finish();
  ask.model = without_latest(ask.model);
  if (ask.model.find('/') == ask.model.npos)
    refuse_field("model", "has to be org/name, or org/name:QUANTIZATION, as the hub has it");
  return ask;
}

std::string ollama_show_body(const ModelInfo& model) {
  // continue.dev reads the context from `parameters`.
  return dump({{"license", ""},
               {"modelfile", ""},
               {"parameters", fmt::format("num_ctx {}", model.context)},
               {"template", ollama_template(model)},
               {"details", ollama_details(model)},
               {"model_info", ollama_model_info(model)},
               {"capabilities", ollama_capabilities(model)},
               {"modified_at", rfc3339(model.created)}});
}

std::string ollama_version_body() { return dump({{"version", "0.13.5"}}); }

std::string llama_props_body(const ModelInfo& model, int slots) {
  return dump({{"default_generation_settings", {{"n_ctx", model.context}}},
               {"total_slots", slots},
               {"model_alias", model.id},
               {"model_path", model.id},
               {"modalities", {{"vision", false}, {"audio", false}}},
               {"chat_template", model.chat_template},
               {"bos_token", model.bos_token},
               {"eos_token", model.eos_token},
               {"build_info", "sluice"},
               {"is_sleeping", model.state != ModelInfo::State::loaded}});
}

std::string_view without_latest(std::string_view name) {
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest)) name.remove_suffix(kLatest.size());
  return name;
}

}  // namespace sluice::server
