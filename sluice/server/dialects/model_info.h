#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/server/ask.h"

namespace sluice::server {

/// What the server tells of a model, whatever the dialect. Strings are empty and numbers 0 where nothing is known.
struct ModelInfo {
  enum class State { unloaded, loading, loaded };

  std::string id = {};  ///< as clients name it
  int64_t created = 0;  ///< seconds since 1970
  State state = State::unloaded;
  int64_t context = 0;            ///< most tokens that are served
  int64_t trained_context = 0;    ///< that the model was made for
  std::string architecture = {};  ///< "llama"
  std::string format = "gguf";    ///< or "safetensors"
  std::string quantization = {};  ///< "Q4_K_M"
  std::string digest = {};        ///< 64 hexadecimal digits that change when the file does
  uint64_t file_bytes = 0, resident_bytes = 0;
  uint64_t n_parameters = 0;
  int64_t vocab_size = 0, hidden_size = 0, n_layers = 0;
  int64_t expires_at = 0;  ///< seconds since 1970 when it will be unloaded; 0: stays
  bool chats = false;      ///< has a chat template
  bool tools = false, thinks = false, fills_gaps = false, embeds = false;
  std::string chat_template = {}, bos_token = {}, eos_token = {};
};

/// GET /v1/models, for OpenAI's clients, Anthropic's and Codex at once; also those not loaded.
std::string models_body(const std::vector<ModelInfo>& models);
/// GET /v1/models/{id}
std::string model_body(const ModelInfo& model);
/// GET /api/v0/models and /api/v0/models/{id}
std::string lmstudio_models_body(const std::vector<ModelInfo>& models);
std::string lmstudio_model_body(const ModelInfo& model);
/// GET /api/tags, of all models, and /api/ps, of those loaded.
std::string ollama_tags_body(const std::vector<ModelInfo>& models);
std::string ollama_ps_body(const std::vector<ModelInfo>& models);
/// POST /api/show; read_ollama_show gives the model's name.
std::string read_ollama_show(const Json& body);
std::string ollama_show_body(const ModelInfo& model);
/// GET /api/version. Codex wants 0.13.4 or later of an Ollama.
std::string ollama_version_body();
/// GET /props. slots: answers at once.
std::string llama_props_body(const ModelInfo& model, int slots);

/// "x" and Ollama's "x:latest" name the same model.
std::string_view without_latest(std::string_view name);

}  // namespace sluice::server
