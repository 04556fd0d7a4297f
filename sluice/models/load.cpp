#include "sluice/models/load.h"

#include <algorithm>
#include <set>
#include <string>

#include "sluice/base/error.h"
#include "sluice/io/formats/json_file.h"
#include "sluice/io/formats/safetensors.h"
#include "sluice/kernels/strips.h"
#include "sluice/models/config.h"
#include "sluice/models/extents.h"
#include "sluice/models/left_over.h"
#include "sluice/models/registry.h"
#include "sluice/models/weight_names.h"

namespace sluice::models {
namespace {

/// A published config.json has some kilobytes; parsed it takes 20 times as much.
constexpr io::JsonLimits kConfig{.size = {16'000'000}};

/// Whether the weights are integers times scales, which 8-bit activations can be multiplied with.
bool is_integer(const residency::Weight& weight) { return kernels::has_int8(weight.matrix.format); }

bool some_integers(const nn::WeightTable& table) {
  return std::ranges::any_of(table.bound(), [](const nn::BoundWeight& bound) {
    return std::ranges::any_of(bound.weights, is_integer);
  });
}

/// Routers, which are often left unquantized, take the rows that were just normed, which are floats
/// anyway.
bool only_integers(const nn::WeightTable& table) {
  return std::ranges::all_of(table.bound(), [](const nn::BoundWeight& bound) {
    return bound.layer < 0 || bound.path.ends_with("gate") ||
           std::ranges::all_of(bound.weights, is_integer);
  });
}

Bytes largest_strip(const nn::WeightTable& table) {
  int64_t bytes = 0;
  for (const nn::BoundWeight& bound : table.bound()) {
    for (const residency::Weight& weight : bound.weights)
      bytes = std::max(bytes, kernels::strip_bytes(weight.matrix));
  }
  return {static_cast<uint64_t>(bytes)};
}

/// Fewer experts for a token than the model was trained with.
void reduce_experts(const LoadOptions& options, nn::Config& config) {
  if (options.top_k_experts == 0 && !options.adaptive_experts) return;
  if (config.moe() == nullptr)
    fail(ErrorKind::bad_request, "--top-k-experts: this model has no experts; leave it out");
  for (nn::LayerConfig& layer : config.layers) {
    if (layer.moe() == nullptr) continue;
    ops::RouterSpec& router = layer.moe()->router;
    if (options.top_k_experts > router.n_experts_per_tok) {
      fail(ErrorKind::bad_request, "--top-k-experts is {}, the model uses {} a token; give fewer",
           options.top_k_experts, router.n_experts_per_tok);
    }
    if (options.top_k_experts > 0) router.n_experts_per_tok = options.top_k_experts;
    if (options.adaptive_experts) router.least_mass = kAdaptiveMass;
  }
}

void check_max_kv_size(const LoadOptions& options) {
  const int64_t size = options.max_kv_size;
  if (size == 0) return;
  if (size <= ops::kFirstTokens || size > INT32_MAX) {
    fail(ErrorKind::bad_request, "--max-kv-size is {}, it must be from {} to {}", size,
         ops::kFirstTokens + 1, INT32_MAX);
  }
  if (options.kv_code)
    fail(ErrorKind::bad_request,
         "--max-kv-size keeps no block that --kv-bits is for; leave one out");
}

uint64_t count_parameters(const nn::WeightTable& table) {
  int64_t n = 0;
  std::set<std::string> paths;  // a table is bound again where it gives the logits too
  for (const nn::BoundWeight& bound : table.bound()) {
    if (!paths.insert(bound.path).second) continue;
    for (const residency::Weight& weight : bound.weights)
      n += weight.matrix.rows * weight.matrix.cols;
  }
  return static_cast<uint64_t>(n);
}

void build(LoadedModel& loaded, const Family& family, const Source& source, nn::WeightTable table,
           const LoadOptions& options) {
  table.quantization = quantization_of(source);
  table.published = read_published_quantization(source);
  nn::Config config = family.read(source, table);
  source.check_all_asked();
  if (options.kv_type) {
    loaded.lossy_kv =
        *options.kv_type != config.kv.type && *options.kv_type != kernels::KvType::f32;
    config.kv.type = *options.kv_type;
  }
  config.kv.code = options.kv_code;
  config.kv.recent = options.kv_recent;
  config.kv.state_type = options.state_type;
  config.kv.max_size = options.max_kv_size;
  check_max_kv_size(options);
  reduce_experts(options, config);
  loaded.model = family.make(std::move(config), nn::Weights(table));
  const nn::Config& c = loaded.model->config();
  if (options.kv_code && !loaded.model->kv_layout().group_of_codes()) {
    fail(ErrorKind::unsupported,
         "--kv-bits: no layer of this model keeps keys and values of all tokens; leave it out");
  }
  if (options.state_type != kernels::KvType::f32 && !loaded.model->kv_layout().has_recurrences()) {
    fail(ErrorKind::unsupported,
         "--state-type: no layer of this model carries a recurrent state; leave it out");
  }
  if (options.max_kv_size > 0 && !loaded.model->kv_layout().is_bounded()) {
    fail(ErrorKind::unsupported,
         "--max-kv-size: no layer of this model keeps keys and values of all tokens; leave it out");
  }
  const int64_t per_tok = loaded.model->step_demands().n_experts_per_tok;
  loaded.extents = extents_of(table, c.n_layers, per_tok);
  loaded.active = active_bytes(loaded.extents);
  loaded.n_parameters = count_parameters(table);
  if (options.drafts && family.mtp != nullptr) {
    name_mtp(table, *family.mtp, c.n_layers);
    loaded.mtp = make_mtp(c, *family.mtp, table);
    if (loaded.mtp) loaded.extents_with_mtp = extents_of(table, c.n_layers + 1, per_tok);
  }
  loaded.left_out = check_all_bound(table, family, c, source);
  // Perhaps all of it was asked for before it turned out to be another one.
  const bool has_mtp = nn::Weights(table)["model"]["layers"].layer(c.n_layers)["eh_proj"].has();
  if (has_mtp && !loaded.mtp) loaded.left_out.drafting = true;
  loaded.takes_int8 = some_integers(table);
  loaded.strip = largest_strip(table);
  loaded.only_int8 = only_integers(table);
}

}  // namespace

void LoadedModel::drop_mtp() {
  left_out.drafting |= mtp != nullptr;
  mtp.reset();
  extents_with_mtp = {};
}

LoadedModel load_model(const std::filesystem::path& path, const LoadOptions& options) {
  LoadedModel loaded;
  const io::Data data =
      options.mode == residency::LoadMode::headers ? io::Data::not_needed : io::Data::required;
  if (io::is_gguf(path)) {
    loaded.gguf = io::open_gguf(path, data);
    const Source source = Source::from_gguf(*loaded.gguf, path.string());
    const Family& family = family_of(source);
    loaded.pooling = pooling_of_gguf(*loaded.gguf);
    loaded.store = std::make_unique<residency::WeightStore>(loaded.gguf->index, options.mode,
                                                            loaded.gguf->mappings);
    if (options.few_pages) loaded.store->release_pages();
    build(loaded, family, source, name_gguf(*loaded.store, family.gguf_names), options);
  } else {
    const auto config_path = path / "config.json";
    if (!std::filesystem::exists(config_path))
      fail(ErrorKind::bad_model, "{}: has no config.json", path.string());
    const Source source =
        Source::from_config(io::read_json_file(config_path, kConfig), config_path.string());
    const Family& family = family_of(source);
    loaded.pooling = pooling_of_directory(path);
    loaded.store =
        std::make_unique<residency::WeightStore>(io::open_safetensors(path, data), options.mode);
    if (options.few_pages) loaded.store->release_pages();
    build(loaded, family, source, name_safetensors(*loaded.store, family.hf_names), options);
  }
  return loaded;
}

}  // namespace sluice::models
