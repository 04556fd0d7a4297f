#include "sluice/models/load.h"

#include <algorithm>
#include <charconv>

#include "sluice/base/error.h"
#include "sluice/io/formats/json_file.h"
#include "sluice/io/formats/safetensors.h"
#include "sluice/models/config.h"
#include "sluice/models/extents.h"
#include "sluice/models/registry.h"
#include "sluice/models/weight_names.h"

namespace sluice::models {
namespace {

constexpr std::string_view kLayers = "model.layers.";

uint64_t stored_bytes(const nn::StoredMatrix& stored) {
  uint64_t bytes = stored.weight->bytes;
  if (stored.scales != nullptr) bytes += stored.scales->bytes;
  if (stored.biases != nullptr) bytes += stored.biases->bytes;
  // A stack's matrices, and gate and up rows that share a tensor, each count their part.
  if (stored.expert >= 0) bytes /= static_cast<uint64_t>(stored.weight->shape[0]);
  return bytes / static_cast<uint64_t>(stored.row_step);
}

/// Every matrix once (an embedding table only when it is the output projection too), and of each layer's
/// experts as many as a token uses.
void count_active(const nn::WeightTable& table, const nn::Config& config, LoadedModel& loaded) {
  Bytes& active = loaded.bytes_active;
  for (const auto& [path, stored] : table.matrices) {
    const bool only_looked_up = path == "model.embed_tokens" && !config.tie_word_embeddings;
    const bool unused = path == "lm_head" && config.tie_word_embeddings;
    if (!only_looked_up && !unused) active.count += stored_bytes(stored);
  }
  for (const auto& [path, stack] : table.experts) {
    uint64_t bytes = 0;
    for (const auto& stored : stack) bytes += stored_bytes(stored);
    bytes = bytes / stack.size() * static_cast<uint64_t>(config.router.n_experts_per_tok);
    active.count += bytes;
    loaded.expert_bytes_active.count += bytes;
  }
}

/// Whether a matrix is stored as integers and scales (mxfp8's elements are floats).
bool is_integer(const nn::WeightTable& table, const nn::StoredMatrix& stored) {
  if (stored.scales == nullptr) return io::info(stored.weight->type).block_elements > 1;
  const auto config = table.quantization ? table.quantization(stored.path) : std::nullopt;
  return !config || config->mode != "mxfp8";
}

bool any_integer(const nn::WeightTable& table) {
  const auto integer = [&](const nn::StoredMatrix& stored) { return is_integer(table, stored); };
  return std::ranges::any_of(table.matrices, integer, [](const auto& e) { return e.second; }) ||
         std::ranges::any_of(table.experts, [&](const auto& entry) {
           return std::ranges::any_of(entry.second, integer);
         });
}

/// Routers, which are often left unquantized, take the rows that were just normed, which are floats anyway.
bool all_integer(const nn::WeightTable& table) {
  const auto integer = [&](const nn::StoredMatrix& stored) { return is_integer(table, stored); };
  return std::ranges::all_of(table.matrices,
                             [&](const auto& entry) {
                               const std::string& path = entry.first;
                               return !path.starts_with(kLayers) || path.ends_with("gate") ||
                                      integer(entry.second);
                             }) &&
         std::ranges::all_of(table.experts, [&](const auto& entry) {
           return std::ranges::all_of(entry.second, integer);
         });
}

/// A config that counts fewer layers than the file holds would leave out the last ones and give wrong tokens.
void check_layer_count(const nn::WeightTable& table, const nn::Config& config,
                       const std::string& where) {
  for (auto it = table.vectors.lower_bound(kLayers);
       it != table.vectors.end() && it->first.starts_with(kLayers); ++it) {
    const char* const number = it->first.data() + kLayers.size();
    int64_t layer = 0;
    std::from_chars(number, it->first.data() + it->first.size(), layer);
    if (layer >= config.n_layers) {
      fail(ErrorKind::bad_model, "{}: counts {} layers, but there is a tensor {}", where,
           config.n_layers, it->second.tensor->name);
    }
  }
}

/// Fewer experts for a token than the model was trained with.
void reduce_experts(const LoadOptions& options, nn::Config& config) {
  if (options.top_k_experts == 0 && !options.adaptive_experts) return;
  if (config.n_experts == 0)
    fail(ErrorKind::bad_request, "--top-k-experts: this model has no experts; leave it out");
  int64_t& k = config.router.n_experts_per_tok;
  if (options.top_k_experts > k) {
    fail(ErrorKind::bad_request, "--top-k-experts is {}, the model uses {} a token; give fewer",
         options.top_k_experts, k);
  }
  if (options.top_k_experts > 0) k = options.top_k_experts;
  if (options.adaptive_experts) config.router.least_mass = kAdaptiveMass;
}

void build(LoadedModel& loaded, const Family& family, const Source& source, nn::WeightTable table,
           const LoadOptions& options) {
  table.quantization = quantization_of(source);
  nn::Config config = read_config(source, table);
  check_layer_count(table, config, source.where());
  if (family.configure != nullptr) family.configure(config, source);
  if (options.kv_type) {
    loaded.lossy_kv =
        *options.kv_type != config.kv_type && *options.kv_type != kernels::KvType::f32;
    config.kv_type = *options.kv_type;
  }
  reduce_experts(options, config);
  count_active(table, config, loaded);
  loaded.extents = extents_of(table, config);
  loaded.takes_int8 = any_integer(table);
  loaded.only_int8 = all_integer(table);
  loaded.norms_whole = std::ranges::any_of(table.vectors, [&](const auto& entry) {
    return entry.first.ends_with(".q_norm.weight") &&
           entry.second.tensor->shape.back() != config.head_dim;
  });
  loaded.model = family.make(std::move(config), nn::Weights(table));
}

}  // namespace

LoadedModel load_model(const std::filesystem::path& path, const LoadOptions& options) {
  LoadedModel loaded;
  const io::Data data =
      options.mode == residency::LoadMode::headers ? io::Data::not_needed : io::Data::required;
  if (io::is_gguf(path)) {
    loaded.gguf = io::open_gguf(path, data);
    const Source source = Source::from_gguf(*loaded.gguf, path.string());
    const Family& family = find_family(source.architecture());
    loaded.store = std::make_unique<residency::WeightStore>(loaded.gguf->index, options.mode,
                                                            loaded.gguf->mappings);
    if (options.few_pages) loaded.store->release_pages();
    build(loaded, family, source, name_gguf(*loaded.store, family.gguf_names), options);
  } else {
    const auto config_path = path / "config.json";
    if (!std::filesystem::exists(config_path))
      fail(ErrorKind::bad_model, "{}: has no config.json", path.string());
    const Source source =
        Source::from_config(io::read_json_file(config_path), config_path.string());
    const Family& family = find_family(source.architecture());
    loaded.store =
        std::make_unique<residency::WeightStore>(io::open_safetensors(path, data), options.mode);
    if (options.few_pages) loaded.store->release_pages();
    build(loaded, family, source, name_safetensors(*loaded.store), options);
  }
  return loaded;
}

}  // namespace sluice::models
