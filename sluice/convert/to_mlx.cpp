// Plans a directory as mlx-lm writes it: names of mlx-lm's modules, experts stacked, config.json with what is quantized.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/convert/convert.h"
#include "sluice/convert/encode.h"
#include "sluice/convert/gguf_config.h"
#include "sluice/convert/recipe.h"
#include "sluice/convert/repack.h"
#include "sluice/convert/safetensors_out.h"
#include "sluice/io/formats/json_file.h"

namespace sluice::convert {
namespace {

using kernels::Format;
using residency::Weight;
using Use = SourceTensor::Use;

/// A tensor on its way: what it is called, and the rows it is made of.
struct Draft {
  std::string name;
  Use use = Use::vector;
  std::vector<int64_t> shape;
  std::vector<Weight> sources;
  Change change = {};
  io::TensorType type = io::TensorType::f32;
  bool is_number = true;
};

/// "w1" -> "gate_proj", as mlx-lm names experts' matrices.
std::string expert_name(const std::string& theirs, bool is_gated) {
  constexpr std::array<std::array<std::string_view, 2>, 3> kMixtral = {
      {{"w1", "gate_proj"}, {"w2", "down_proj"}, {"w3", "up_proj"}}};
  for (const auto& [from, to] : kMixtral) {
    if (theirs == from) return std::string(to);
  }
  if (!is_gated && theirs == "up_proj") return "fc1";
  if (!is_gated && theirs == "down_proj") return "fc2";
  return theirs;
}

/// "P.experts.7.w1.weight"
struct ExpertName {
  std::string prefix, matrix;
};
std::optional<ExpertName> expert_of(const std::string& name) {
  constexpr std::string_view kExperts = ".experts.", kWeight = ".weight";
  const size_t at = name.find(kExperts);
  if (at == std::string::npos || !name.ends_with(kWeight)) return std::nullopt;
  const size_t number = at + kExperts.size();
  const size_t end = name.find_first_not_of("0123456789", number);
  if (end == number || end == std::string::npos || name[end] != '.') return std::nullopt;
  const size_t rest = end + 1;
  if (rest + kWeight.size() > name.size()) return std::nullopt;
  return ExpertName{name.substr(0, at), name.substr(rest, name.size() - rest - kWeight.size())};
}

/// Experts that are tensors of their own become one, in their order (which counts_before() made).
void stack_experts(std::vector<Draft>& drafts, bool is_gated) {
  std::map<std::string, size_t> stacks;
  std::vector<Draft> result;
  for (Draft& draft : drafts) {
    const auto expert = draft.use == Use::experts ? expert_of(draft.name) : std::nullopt;
    if (!expert) {
      result.push_back(std::move(draft));
      continue;
    }
    draft.name = fmt::format("{}.switch_mlp.{}.weight", expert->prefix,
                             expert_name(expert->matrix, is_gated));
    const auto [at, is_new] = stacks.try_emplace(draft.name, result.size());
    if (is_new) {
      draft.shape.insert(draft.shape.begin(), 1);
      result.push_back(std::move(draft));
    } else {
      Draft& stack = result[at->second];
      ++stack.shape[0];
      stack.sources.push_back(draft.sources[0]);
    }
  }
  drafts = std::move(result);
}

/// transformers 5 has gate and up above each other for each expert, and no ".weight" behind them.
void split_gate_and_up(std::vector<Draft>& drafts, bool is_gemma4) {
  constexpr std::string_view kBoth = ".experts.gate_up_proj", kDown = ".experts.down_proj";
  const std::string experts = is_gemma4 ? ".experts.switch_glu" : ".switch_mlp";
  std::vector<Draft> result;
  for (Draft& draft : drafts) {
    if (draft.use == Use::experts && draft.name.ends_with(kDown)) {
      draft.name.replace(draft.name.size() - kDown.size(), kDown.size(),
                         experts + ".down_proj.weight");
    }
    const bool is_both = draft.use == Use::experts && draft.name.ends_with(kBoth) &&
                         draft.shape.size() == 3 && draft.shape[1] % 2 == 0;
    if (!is_both) {
      result.push_back(std::move(draft));
      continue;
    }
    const std::string prefix = draft.name.substr(0, draft.name.size() - kBoth.size()) + experts;
    const int64_t half = draft.shape[1] / 2;
    for (const int64_t part : {0, 1}) {
      Draft one{.name = prefix + (part == 0 ? ".gate_proj.weight" : ".up_proj.weight"),
                .use = Use::experts,
                .shape = {draft.shape[0], half, draft.shape[2]},
                .sources = {}};
      for (int64_t expert = 0; expert < draft.shape[0]; ++expert)
        one.sources.push_back(draft.sources[0].select_rows((2 * expert + part) * half, half));
      result.push_back(std::move(one));
    }
  }
  drafts = std::move(result);
}

/// As published, Qwen's hybrids hold norms less 1 and convolutions [channels, 1, taps]; mlx-lm's form is told by its convolutions.
void shift_qwen_hybrid(std::vector<Draft>& drafts) {
  constexpr std::array<std::string_view, 5> kNorms = {
      "input_layernorm.weight", "post_attention_layernorm.weight", "model.norm.weight",
      "q_norm.weight", "k_norm.weight"};
  for (Draft& draft : drafts) {
    const auto ends = [&](std::string_view end) { return draft.name.ends_with(end); };
    if (std::ranges::any_of(kNorms, ends) || ends("language_model.norm.weight"))
      draft.change.added = 1;
    if (ends("conv1d.weight") && draft.shape.size() == 3) std::swap(draft.shape[1], draft.shape[2]);
  }
}

/// A GGUF's gate of shared experts is a vector, mlx-lm's a matrix of one row.
std::vector<int64_t> shape_of(const SourceModel& model, const SourceTensor& t) {
  if (model.gguf && t.use == Use::router && t.shape.size() == 1) return {1, t.shape[0]};
  return t.shape;
}

std::vector<Draft> drafts_of(const SourceModel& model) {
  std::vector<Draft> drafts;
  for (const SourceTensor& t : model.tensors) {
    if (t.name.ends_with("_blocks")) {
      fail(
          ErrorKind::unsupported,
          "{}: {} is published in MXFP4 blocks, which mlx-lm and Sluice run as they are; it is not "
          "converted",
          model.path.string(), printable(t.name));
    }
    drafts.push_back({.name = model.gguf ? mlx_name(model, t) : t.name,
                      .use = t.use,
                      .shape = shape_of(model, t),
                      .sources = {t.weight},
                      .change = model.gguf ? mlx_change(model, t) : Change{},
                      .type = t.type,
                      .is_number = t.is_number});
  }
  const nn::MoeConfig* const moe = model.config.moe();
  stack_experts(drafts, moe == nullptr || moe->expert.is_gated);
  const std::string& architecture = model.source->architecture();
  split_gate_and_up(drafts, architecture.starts_with("gemma4"));
  const bool is_hybrid = architecture.starts_with("qwen3_5") || architecture == "qwen3_next";
  if (is_hybrid && model.config.norm_weight_offset != 0) shift_qwen_hybrid(drafts);
  return drafts;
}

Format mode_format(const std::string& mode) {
  return mode == "affine"  ? Format::affine
         : mode == "mxfp4" ? Format::mxfp4
         : mode == "mxfp8" ? Format::mxfp8
                           : Format::nvfp4;
}

/// What no --dtype changes: what chooses experts and how states decay, and what DeepSeek-V4.1 mixes streams and pools rows with
/// (mlx-lm's cast_predicate).
bool keeps_its_type(const std::string& name, const std::string& architecture) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string::npos; };
  constexpr std::array<std::string_view, 3> kAnywhere = {"e_score_correction_bias", "expert_bias",
                                                         "A_log"};
  constexpr std::array<std::string_view, 7> kDeepSeek = {
      "hc_attn_", "hc_ffn_", "attn_hc.", "ffn_hc.", "sink", "compressor.", "gate.bias"};
  return std::ranges::any_of(kAnywhere, has) ||
         (architecture.starts_with("deepseek_v41") && std::ranges::any_of(kDeepSeek, has));
}

/// The type that floats have: as asked for, else as they are.
Format float_of(const Draft& draft, const SourceModel& model, const ConvertOptions& options) {
  const kernels::Matrix& m = draft.sources[0].matrix;
  if (options.dtype && !keeps_its_type(draft.name, model.source->architecture()))
    return *options.dtype;
  return m.format <= Format::bf16 && !(model.gguf && draft.use == Use::vector) ? m.format
                                                                               : model.float_type;
}

/// "model.layers.0.mlp.up_proj.weight" -> "model.layers.0.mlp.up_proj".
std::string module_of(const std::string& tensor) { return tensor.substr(0, tensor.rfind('.')); }

/// A pattern that keeps nothing is misspelled, and what it means would be quantized.
void check_keep(const ConvertOptions& options, const std::vector<Draft>& drafts) {
  if (!options.keep.empty() && !usual_quantization(options))
    fail(ErrorKind::bad_request, "--keep has no effect without --bits, --mode or --recipe");
  for (const std::string& pattern : options.keep) {
    const auto is_meant = [&](const Draft& d) { return matches(pattern, module_of(d.name)); };
    if (std::ranges::none_of(drafts, is_meant)) {
      fail(ErrorKind::bad_request, "--keep: the model has no module '{}'", printable_name(pattern));
    }
  }
}

/// How a draft is stored. quantized: what config.json has to say of it, path by path.
kernels::Matrix layout(const Draft& draft, const SourceModel& model, const ConvertOptions& options,
                       nlohmann::ordered_json& quantized) {
  const kernels::Matrix& m = draft.sources[0].matrix;
  int64_t rows = 0;
  for (const Weight& source : draft.sources) rows += source.rows();
  kernels::Matrix same = m;
  same.rows = rows;
  if (!draft.is_number) return same;
  const Format type = float_of(draft, model, options);
  const bool is_matrix = draft.use != Use::vector && draft.use != Use::router &&
                         draft.shape.size() >= 2 && draft.name.ends_with(".weight");
  const std::string path = module_of(draft.name);
  const auto usual = usual_quantization(options);
  const auto q =
      is_matrix ? quantization_of(options, path, draft.shape, model.config.n_layers) : std::nullopt;
  if (q) {
    if (*q != *usual)
      quantized[path] = {{"group_size", q->group_size}, {"bits", q->bits}, {"mode", q->mode}};
    return layout_of(mode_format(q->mode), rows, m.cols, q->bits, q->group_size, type);
  }
  const bool left = is_kept(options, path) || options.predicate;
  if (is_matrix && usual && left) quantized[path] = false;
  if (m.group_size > 0 && !options.dequantize && !usual) return same;
  if (const kernels::Matrix exact = repacked_layout(same);
      is_matrix && exact.group_size > 0 && !options.dequantize && !usual) {
    quantized[path] = {{"group_size", exact.group_size}, {"bits", exact.bits}, {"mode", "affine"}};
    return exact;
  }
  return layout_of(type, rows, m.cols);
}

std::string_view dtype_name(Format type) {
  return type == Format::f32 ? "float32" : type == Format::f16 ? "float16" : "bfloat16";
}

SideFile config_of(const SourceModel& model, const ConvertOptions& options,
                   nlohmann::ordered_json quantized) {
  nlohmann::json config =
      model.gguf ? config_of_gguf(model)
                 : io::read_json_file(model.path / "config.json", {.size = {16'000'000}});
  auto q = usual_quantization(options);
  if (!q && !quantized.empty())
    q = {.bits = 4, .group_size = 32, .mode = "affine"};  // repacked, path by path
  if (q) {
    quantized.update({{"group_size", q->group_size}, {"bits", q->bits}, {"mode", q->mode}});
    config["quantization"] = quantized;
    config["quantization_config"] = quantized;
  } else if (options.dequantize || model.gguf) {
    for (const char* key : {"quantization", "quantization_config"}) config.erase(key);
  }
  if (options.dtype) {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (config.contains(key)) config[key] = dtype_name(*options.dtype);
    }
  }
  return {"config.json", config.dump(2) + "\n"};
}

}  // namespace

Conversion plan_mlx(const SourceModel& model, const ConvertOptions& options) {
  if (options.dequantize && usual_quantization(options))
    fail(ErrorKind::bad_request, "--dequantize makes floats; leave out what asks for quantization");
  Conversion c;
  for (const io::ModelFile& file : model.store->index().files) c.plan.sources.push_back(file.path);
  nlohmann::ordered_json quantized = nlohmann::ordered_json::object();
  const std::vector<Draft> drafts = drafts_of(model);
  check_keep(options, drafts);
  for (const Draft& draft : drafts) {
    Product product{.name = draft.name,
                    .shape = draft.shape,
                    .sources = draft.sources,
                    .change = draft.change,
                    .target = {}};
    product.target.matrix = layout(draft, model, options, quantized);
    product.repacked = repacked_layout(draft.sources[0].matrix).group_size > 0 &&
                       product.target.matrix.group_size > 0 && !usual_quantization(options);
    if (!draft.is_number) product.dtype = io::info(draft.type).dtype;
    c.plan.products.push_back(std::move(product));
  }
  std::ranges::stable_sort(c.plan.products, [](const Product& a, const Product& b) {
    return counts_before(a.name, b.name);
  });
  c.side_files.push_back({"model.safetensors.index.json", lay_out_safetensors(c.plan)});
  c.side_files.push_back(config_of(model, options, std::move(quantized)));
  return c;
}

}  // namespace sluice::convert
