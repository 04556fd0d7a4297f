#include <fmt/ranges.h>

#include <algorithm>
#include <map>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/cli/commands.h"
#include "sluice/cli/model_options.h"
#include "sluice/cli/output.h"
#include "sluice/engine/contents.h"
#include "sluice/engine/hub/model_store.h"

namespace sluice::cli {
namespace {

struct InspectOptions {
  ModelOptions model;
  bool tensors = false;
  bool metadata = false;
};

/// Bytes by stored type: what a model's quantization comes to.
std::map<std::string, Bytes> bytes_by_type(const std::vector<engine::TensorSummary>& tensors) {
  std::map<std::string, Bytes> sums;
  for (const auto& tensor : tensors) sums[tensor.type].count += tensor.bytes.count;
  return sums;
}

using Metadata = std::vector<std::pair<std::string, std::string>>;

/// What is asked for of tensors and metadata, and always the sums by type.
void add_contents(nlohmann::json& json, const std::vector<engine::TensorSummary>& tensors,
                  const Metadata& metadata, const InspectOptions& o) {
  json["bytes_by_type"] = nlohmann::json::object();
  for (const auto& [type, bytes] : bytes_by_type(tensors))
    json["bytes_by_type"][type] = bytes.count;
  if (o.tensors) {
    for (const auto& t : tensors) {
      json["tensors"].push_back(
          {{"name", t.name}, {"type", t.type}, {"shape", t.shape}, {"bytes", t.bytes.count}});
    }
  }
  if (o.metadata) {
    json["metadata"] = nlohmann::json::object();
    for (const auto& [key, value] : metadata) json["metadata"][key] = value;
  }
}

std::string contents_text(const std::vector<engine::TensorSummary>& tensors,
                          const Metadata& metadata, const InspectOptions& o) {
  std::string text;
  for (const auto& [type, bytes] : bytes_by_type(tensors))
    text += fmt::format("  {:<12} {}\n", type, to_string(bytes));
  if (o.metadata) {
    for (const auto& [key, value] : metadata)
      text += fmt::format("{} = {}\n", printable(key), printable(value));
  }
  if (o.tensors) {
    for (const auto& t : tensors) {
      text += fmt::format("{:<56} {:>8} {:>10}  [{}]\n", printable(t.name), t.type,
                          to_string(t.bytes), fmt::join(t.shape, ", "));
    }
  }
  return text;
}

/// Of a dense layer; 0: all are sparse.
int64_t intermediate_size(const nn::Config& c) {
  for (const nn::LayerConfig& layer : c.layers) {
    if (layer.moe() == nullptr) return layer.mlp().intermediate_size;
  }
  return 0;
}

std::string layers_line(const nn::Config& c) {
  std::string text = fmt::format("layers         {}", c.n_layers);
  if (const nn::AttentionConfig* const a = c.attention()) {
    const auto n = std::ranges::count_if(
        c.layers, [](const nn::LayerConfig& layer) { return layer.attention() != nullptr; });
    text += n == c.n_layers ? std::string(" of ") : fmt::format(", {} of them attention of ", n);
    text +=
        fmt::format("{} heads ({} for keys), head_dim {}", a->n_heads, a->n_kv_heads, a->head_dim);
  }
  return text + "\n";
}

nlohmann::json to_json(const engine::Engine& engine, const InspectOptions& o) {
  const nn::Config& c = engine.config();
  const nn::AttentionConfig attention = c.attention() ? *c.attention() : nn::AttentionConfig{};
  nlohmann::json json{{"architecture", c.architecture},
                      {"vocab_size", c.vocab_size},
                      {"hidden_size", c.hidden_size},
                      {"intermediate_size", intermediate_size(c)},
                      {"n_layers", c.n_layers},
                      {"n_heads", attention.n_heads},
                      {"n_kv_heads", attention.n_kv_heads},
                      {"head_dim", attention.head_dim},
                      {"n_experts", c.n_experts()},
                      {"n_experts_per_tok", c.n_experts_per_tok()},
                      {"max_position_embeddings", c.max_position_embeddings},
                      {"tie_word_embeddings", c.tie_word_embeddings},
                      {"file_bytes", engine.file_bytes().count},
                      {"bytes_active", engine.bytes_active().count}};
  add_contents(json, engine.tensors(), engine.metadata(), o);
  return json;
}

void print_summary(const engine::Engine& engine, const InspectOptions& o) {
  const nn::Config& c = engine.config();
  std::string text = fmt::format("architecture   {}\n", printable(c.architecture));
  text += layers_line(c);
  text += fmt::format("widths         hidden {}, intermediate {}, vocabulary {}{}\n", c.hidden_size,
                      intermediate_size(c), c.vocab_size, c.tie_word_embeddings ? " (tied)" : "");
  if (const nn::MoeConfig* const moe = c.moe()) {
    text += fmt::format("experts        {} of {}, {} per token\n", moe->n_experts,
                        moe->expert.intermediate_size, moe->router.n_experts_per_tok);
  }
  text += fmt::format("context        {}\n", c.max_position_embeddings);
  text += fmt::format("files          {}, {} read per token\n", to_string(engine.file_bytes()),
                      to_string(engine.bytes_active()));
  text += contents_text(engine.tensors(), engine.metadata(), o);
  print(text);
}

/// What there is to see of a model that cannot run, and why it cannot.
void show_contents(const engine::Contents& contents, const std::string& reason,
                   const InspectOptions& o, const Globals& globals) {
  if (globals.json) {
    nlohmann::json json{{"architecture", contents.architecture},
                        {"cannot_run", reason},
                        {"file_bytes", contents.file_bytes.count}};
    add_contents(json, contents.tensors, contents.metadata, o);
    print_json(json);
    return;
  }
  print(fmt::format("architecture   {}\ncannot run     {}\nfiles          {}\n{}",
                    printable(contents.architecture), printable(reason),
                    to_string(contents.file_bytes),
                    contents_text(contents.tensors, contents.metadata, o)));
}

void inspect(const InspectOptions& o, const Globals& globals) {
  try {
    OpenModel engine(o.model);
    if (o.metadata && engine->metadata().empty())
      fail(ErrorKind::bad_request, "--metadata: only a GGUF has any; leave it out");
    if (globals.json) {
      print_json(to_json(*engine, o));
    } else {
      print_summary(*engine, o);
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unsupported && error.kind() != ErrorKind::bad_model) throw;
    engine::Contents contents;
    try {
      contents = engine::read_contents(engine::ModelStore().resolve(o.model.model));
    } catch (const Error&) {
      throw error;  // the files are damaged: that was the reason
    }
    show_contents(contents, error.what(), o, globals);
  }
}

}  // namespace

void add_inspect(CLI::App& app, Globals& globals) {
  CLI::App& command =
      add_command(app, "inspect", "Show a model's architecture, sizes and quantization",
                  "sluice inspect gemma-3-270m-q4_k_m --tensors\n"
                  "sluice inspect model.gguf --metadata --json | jq .metadata");
  const auto o = std::make_shared<InspectOptions>();
  add_model_argument(command, o->model.model);
  command.add_flag("--tensors", o->tensors, "List every tensor");
  command.add_flag("--metadata", o->metadata, "List a GGUF's metadata");
  add_json_flag(command, globals);
  command.callback([o, &globals] { inspect(*o, globals); });
}

}  // namespace sluice::cli
