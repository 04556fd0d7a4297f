// Plans a GGUF: ggml's names, row order and norms, metadata by the keys that the loader asks for.
#include "sluice/convert/to_gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <numbers>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/convert/convert.h"
#include "sluice/convert/encode.h"
#include "sluice/convert/gguf_check.h"
#include "sluice/convert/gguf_kinds.h"
#include "sluice/convert/gguf_out.h"
#include "sluice/convert/gguf_tokenizer.h"
#include "sluice/io/formats/gguf_reader.h"
#include "sluice/models/weight_names.h"

namespace sluice::convert {
namespace {

using kernels::Format;
using Use = SourceTensor::Use;

struct Type {
  std::string_view name;
  Format format;
  uint32_t file_type;        ///< general.file_type
  std::string_view instead;  ///< where rows are no multiple of a block's columns
};
constexpr std::array<Type, 15> kTypes = {{{"f32", Format::f32, 0, ""},
                                          {"f16", Format::f16, 1, ""},
                                          {"bf16", Format::bf16, 32, ""},
                                          {"q8_0", Format::q8_0, 7, "f16"},
                                          {"q4_0", Format::q4_0, 2, "f16"},
                                          {"q4_1", Format::q4_1, 3, "f16"},
                                          {"q5_0", Format::q5_0, 8, "f16"},
                                          {"q5_1", Format::q5_1, 9, "f16"},
                                          {"q2_k", Format::q2_k, 10, "iq4_nl"},
                                          {"q3_k", Format::q3_k, 11, "iq4_nl"},
                                          {"q4_k", Format::q4_k, 14, "q5_0"},
                                          {"q5_k", Format::q5_k, 16, "q5_1"},
                                          {"q6_k", Format::q6_k, 18, "q8_0"},
                                          {"iq4_nl", Format::iq4_nl, 25, "f16"},
                                          {"iq4_xs", Format::iq4_xs, 30, "iq4_nl"}}};

const Type& find_type(std::string_view name) {
  const auto found = std::ranges::find(kTypes, name, &Type::name);
  if (found == kTypes.end())
    fail(ErrorKind::bad_request, "--type: '{}' is not written", printable(name));
  return *found;
}

/// The type, or the nearest whose blocks the columns fill.
const Type& fitting(const Type& wanted, int64_t cols) {
  const Type* type = &wanted;
  while (cols % block_columns(layout_of(type->format, 1, 0)) != 0) type = &find_type(type->instead);
  return *type;
}

bool is_below_q6(const Type& type) {
  return type.format > Format::bf16 && type.format != Format::q8_0 && type.format != Format::q6_k;
}

/// As llama-quantize does, what becomes logits has 6 bits at least.
const Type& type_for(const SourceTensor& t, const Type& wanted, bool is_tied) {
  const bool makes_logits = t.ours == "lm_head.weight" || (is_tied && t.use == Use::table);
  return fitting(makes_logits && is_below_q6(wanted) ? find_type("q6_k") : wanted, t.weight.cols());
}

/// "model.layers.0.mlp.experts.7.up_proj.weight" -> ".experts.up_proj.": experts are one tensor there.
std::string without_expert(const std::string& ours) {
  const size_t at = ours.find(".experts.");
  if (at == std::string::npos) return ours;
  const size_t number = at + 9, end = ours.find_first_not_of("0123456789", number);
  if (end == number || end == std::string::npos) return ours;
  return ours.substr(0, number) + ours.substr(end + 1);
}

Change change_of(const SourceModel& model, const GgufKind& kind, const SourceTensor& t) {
  Change change;
  const auto ends = [&](std::string_view end) { return t.ours.ends_with(end); };
  const bool is_norm = t.use == Use::vector && ends("norm.weight");
  if (is_norm && kind.shifted) change.added = 1;
  const bool is_q = ends(".q_proj.weight"), is_k = ends(".k_proj.weight");
  if (kind.pairs && (is_q || is_k)) {
    const nn::AttentionConfig& a = *model.config.attention();
    change.rows = Change::Rows::to_pairs;
    change.n_heads = is_q ? a.n_heads : a.n_kv_heads;
  }
  if (kind.pairs && (ends(".q_proj.bias") || ends(".k_proj.bias"))) {
    fail(ErrorKind::unsupported, "{}: biases of reordered rows are not converted",
         printable(t.name));
  }
  return change;
}

Product product_of(const SourceTensor& t, std::string name) {
  Product product{.name = std::move(name),
                  .shape = t.shape,
                  .sources = {t.weight},
                  .column_path = column_path(t.ours),
                  .target = {}};
  if (product.shape.size() == 2 && product.shape[0] == 1 && t.use == Use::router)
    product.shape.erase(product.shape.begin());  // the gate of shared experts
  return product;
}

/// All tensors as products without a layout.
std::vector<Product> products_of(const SourceModel& model, const GgufKind& kind,
                                 const Type& wanted) {
  const bool norms_after = std::ranges::any_of(model.tensors, [](const SourceTensor& t) {
    return t.ours.ends_with(".post_feedforward_layernorm.weight");
  });
  const bool is_tied = std::ranges::none_of(
      model.tensors, [](const SourceTensor& t) { return t.ours == "lm_head.weight"; });
  std::vector<Product> products;
  std::map<std::string, size_t> stacks;
  for (const SourceTensor& t : model.tensors) {
    const std::string ours = without_expert(t.ours);
    const auto name = models::gguf_name_of(ours, model.family->gguf_names, norms_after);
    if (!name || !t.is_number) {
      fail(ErrorKind::unsupported, "{}: {} has no place in a GGUF", model.path.string(),
           printable(t.name));
    }
    const bool is_one_expert = ours != t.ours;
    const auto [at, is_new] = stacks.try_emplace(*name, products.size());
    if (!is_new) {
      ++products[at->second].shape[0];
      products[at->second].sources.push_back(t.weight);
      continue;
    }
    Product product = product_of(t, *name);
    if (is_one_expert) product.shape.insert(product.shape.begin(), 1);
    product.change = change_of(model, kind, t);
    const bool is_matrix = t.use != Use::vector && t.use != Use::router;
    const Format format = is_matrix ? type_for(t, wanted, is_tied).format : Format::f32;
    product.target.matrix = layout_of(format, 0, t.weight.cols());
    products.push_back(std::move(product));
  }
  for (Product& product : products) {
    for (const residency::Weight& source : product.sources)
      product.target.matrix.rows += source.rows();
  }
  return products;
}

/// Llama 3's stretching is a table of divisors there.
Product rope_table(const nn::RopeConfig& rope) {
  Product product{
      .name = "rope_freqs.weight", .shape = {rope.dims / 2}, .sources = {}, .target = {}};
  const auto context = static_cast<double>(rope.original_positions);
  for (int64_t i = 0; i < rope.dims / 2; ++i) {
    const double exponent = static_cast<double>(2 * i) / static_cast<double>(rope.dims);
    const double wavelength = 2 * std::numbers::pi * std::pow(rope.theta, exponent);
    const double share = (context / wavelength - rope.low_freq_factor) /
                         (rope.high_freq_factor - rope.low_freq_factor);
    const double smooth = std::clamp(share, 0.0, 1.0);
    product.values.push_back(static_cast<float>(1 / ((1 - smooth) / rope.factor + smooth)));
  }
  product.target.matrix = layout_of(Format::f32, 1, rope.dims / 2);
  return product;
}

void add_json(GgufPairs& pairs, const std::string& key, const nlohmann::json& value) {
  if (value.is_boolean()) pairs.add(key, value.get<bool>());
  if (value.is_number_integer()) pairs.add(key, value.get<uint32_t>());
  if (value.is_number_float()) pairs.add(key, value.get<float>());
  if (value.is_string()) pairs.add(key, std::string_view(value.get_ref<const std::string&>()));
}

/// What every architecture has, as the family read it, defaults included; "%" stands for the architecture.
nlohmann::json common_metadata(const nn::Config& c) {
  const nn::AttentionConfig& a = *c.attention();
  nlohmann::json all = {{"%.block_count", c.n_layers},
                        {"%.context_length", c.max_position_embeddings},
                        {"%.embedding_length", c.hidden_size},
                        {"%.feed_forward_length", c.layers[0].mlp().intermediate_size},
                        {"%.attention.head_count", a.n_heads},
                        {"%.attention.head_count_kv", a.n_kv_heads},
                        {"%.attention.key_length", a.head_dim},
                        {"%.attention.value_length", a.head_dim},
                        {"%.attention.layer_norm_rms_epsilon", c.rms_norm_eps},
                        {"%.rope.freq_base", a.rope.theta},
                        {"%.rope.dimension_count", a.rope.dims},
                        {"%.vocab_size", c.vocab_size}};
  if (const nn::MoeConfig* const moe = c.moe()) {
    all["%.expert_count"] = moe->n_experts;
    all["%.expert_used_count"] = moe->router.n_experts_per_tok;
    all["%.expert_feed_forward_length"] = moe->expert.intermediate_size;
    if (moe->shared_intermediate_size > 0)
      all["%.expert_shared_feed_forward_length"] = moe->shared_intermediate_size;
  }
  for (const nn::LayerConfig& layer : c.layers) {
    const nn::AttentionConfig& attention = *layer.attention();
    if (attention.rope.kind != nn::RopeConfig::Kind::none) {
      all["%.rope.freq_base"] = a.rope.theta;
      all["%.rope.dimension_count"] = attention.rope.dims;
    }
    if (attention.sliding_window > 0) all["%.attention.sliding_window"] = attention.sliding_window;
  }
  return all;
}

/// The first layer's that rotates and sees all.
const nn::RopeConfig& global_rope(const nn::Config& c) {
  for (const nn::LayerConfig& layer : c.layers) {
    const nn::AttentionConfig& a = *layer.attention();
    if (a.sliding_window == 0 && a.rope.kind != nn::RopeConfig::Kind::none) return a.rope;
  }
  return c.attention()->rope;
}

void add_metadata(GgufPairs& pairs, const SourceModel& model, const GgufKind& kind,
                  const Type& type) {
  nlohmann::json all = model.source->translated();
  all.update(common_metadata(model.config));
  const nn::RopeConfig& rope = global_rope(model.config);
  all["%.rope.freq_base"] = rope.theta;
  all["%.rope.dimension_count"] = rope.dims;
  if (rope.kind == nn::RopeConfig::Kind::plain || rope.kind == nn::RopeConfig::Kind::llama3) {
    for (const char* key :
         {"%.rope.scaling.type", "%.rope.scaling.factor", "%.rope.scaling.original_context_length"})
      all.erase(key);
  }
  pairs.add("general.architecture", kind.architecture);
  pairs.add("general.name", std::string_view(model.path.filename().string()));
  pairs.add("general.file_type", type.file_type);
  pairs.add("general.quantization_version", uint32_t{2});
  for (const auto& [key, value] : all.items())
    if (key.starts_with('%'))
      add_json(pairs, std::string(kind.architecture) + key.substr(1), value);
}

/// All pairs of the source, with another general.file_type.
void take_metadata(GgufPairs& pairs, const SourceModel& model, const Type& type) {
  const auto& mapping = model.gguf->mappings.at(0);
  if (model.gguf->mappings.size() > 1)
    fail(ErrorKind::unsupported, "{}: a split GGUF is not quantized again", model.path.string());
  const std::string where = model.path.string();
  io::GgufReader reader(mapping->bytes(), where);
  reader.take(16);
  const auto n = reader.number<uint64_t>();
  const size_t begin = reader.position();
  io::read_gguf_metadata(reader, n, where);
  const auto bytes = mapping->bytes().subspan(begin, reader.position() - begin);
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  constexpr std::string_view kKey = "general.file_type";
  constexpr size_t kAhead = 4;  // the value's type
  const size_t at = text.find(kKey);
  if (at != std::string::npos && at + kKey.size() + kAhead + 4 <= text.size())
    std::memcpy(text.data() + at + kKey.size() + kAhead, &type.file_type, 4);
  pairs.add_raw(text, n);
}

/// Products of a GGUF that is quantized again: nothing but types changes.
std::vector<Product> same_products(const SourceModel& model, const Type& wanted) {
  const bool is_tied = std::ranges::none_of(
      model.tensors, [](const SourceTensor& t) { return t.ours == "lm_head.weight"; });
  std::vector<Product> products;
  for (const SourceTensor& t : model.tensors) {
    Product product = product_of(t, t.name);
    product.shape = t.shape;
    const bool is_matrix = t.use != Use::vector && t.use != Use::router;
    const kernels::Matrix& m = t.weight.matrix;
    product.target.matrix =
        is_matrix ? layout_of(type_for(t, wanted, is_tied).format, m.rows, m.cols) : m;
    products.push_back(std::move(product));
  }
  return products;
}

void note_other_types(Conversion& c, const Type& wanted) {
  std::map<std::string, int> others;
  for (const Product& product : c.plan.products) {
    const Format format = product.target.matrix.format;
    const auto type = std::ranges::find(kTypes, format, &Type::format);
    if (format != wanted.format && format != Format::f32 && type != kTypes.end())
      ++others[std::string(type->name)];
  }
  for (const auto& [type, n] : others)
    c.notes.push_back(fmt::format("{} {} {}: blocks do not fill their rows, or they make logits", n,
                                  n == 1 ? "tensor is" : "tensors are", type));
}

void check_importance(const Plan& plan, const Importance& importance) {
  if (importance.empty()) return;
  size_t met = 0;
  for (const Product& product : plan.products) {
    const auto found = importance.find(product.column_path);
    if (found == importance.end()) continue;
    ++met;
    const auto cols = static_cast<size_t>(product.target.cols());
    if (found->second.size() != cols) {
      fail(ErrorKind::bad_request,
           "--imatrix: {} has {} columns there, {} here; is it of this model?", product.column_path,
           found->second.size(), cols);
    }
  }
  if (met == 0) fail(ErrorKind::bad_request, "--imatrix: it is of no matrix of this model");
}

}  // namespace

std::string column_path(const std::string& ours) {
  const std::string path = without_expert(ours);
  return path.substr(0, path.rfind('.'));
}

Conversion plan_gguf(const SourceModel& model, const std::string& file_name,
                     const ConvertOptions& options, const Importance& importance) {
  const std::string_view plain = model.float_type == Format::f32   ? "f32"
                                 : model.float_type == Format::f16 ? "f16"
                                                                   : "bf16";
  const Type& type = find_type(options.type.empty() ? plain : options.type);
  Conversion c;
  for (const io::ModelFile& file : model.store->index().files) c.plan.sources.push_back(file.path);
  GgufPairs pairs;
  if (model.gguf) {
    take_metadata(pairs, model, type);
    c.plan.products = same_products(model, type);
  } else {
    const GgufKind& kind = gguf_kind_of(model);
    add_metadata(pairs, model, kind, type);
    const auto& directory = options.tokenizer.empty() ? model.path : options.tokenizer;
    if (std::filesystem::exists(directory / "tokenizer.json")) {
      add_tokenizer(pairs, directory, model.config.vocab_size);
    } else {
      c.notes.push_back("it has no tokenizer.json: the GGUF takes token ids only");
    }
    c.plan.products = products_of(model, kind, type);
    const nn::RopeConfig& rope = global_rope(model.config);
    if (rope.kind == nn::RopeConfig::Kind::llama3) c.plan.products.push_back(rope_table(rope));
  }
  std::ranges::stable_sort(c.plan.products, [](const Product& a, const Product& b) {
    return counts_before(a.name, b.name);
  });
  lay_out_gguf(c.plan, file_name, pairs);
  if (!model.gguf) check_says_the_same(model, c.plan.files[0]);
  check_importance(c.plan, importance);
  note_other_types(c, type);
  return c;
}

}  // namespace sluice::convert
