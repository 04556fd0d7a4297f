// quantization_config, as the tools write it whose checkpoints Hugging Face holds. Each method's keys are listed: what is not
// known may change every weight.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/models/config.h"

namespace sluice::models {
namespace {

using nlohmann::json;
using nn::PublishedQuantization;
using std::string_view;
using Method = PublishedQuantization::Method;
using Scheme = PublishedQuantization::Scheme;

/// An object of quantization_config, whose keys are asked for by name; the others must say nothing.
class Keys {
 public:
  Keys(const json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) fail(ErrorKind::bad_model, "{}: is not an object", where_);
  }

  const json* find(string_view key) {
    asked_.push_back(key);
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  int64_t whole(string_view key, int64_t otherwise) {
    const json* const found = find(key);
    if (found == nullptr) return otherwise;
    if (!found->is_number_integer()) wrong(key, "a whole number");
    return found->get<int64_t>();
  }
  bool truth(string_view key, bool otherwise) {
    const json* const found = find(key);
    if (found == nullptr) return otherwise;
    if (!found->is_boolean()) wrong(key, "true or false");
    return found->get<bool>();
  }
  std::string text(string_view key, string_view otherwise) {
    const json* const found = find(key);
    if (found == nullptr) return std::string(otherwise);
    if (!found->is_string()) wrong(key, "a string");
    std::string value = found->get<std::string>();
    std::ranges::transform(value, value.begin(), [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return value;
  }
  /// The text is one of these, in lower case.
  std::string one_of(string_view key, string_view otherwise, std::span<const string_view> known) {
    std::string value = text(key, otherwise);
    if (std::ranges::find(known, value) == known.end()) unknown(key, value);
    return value;
  }
  /// [rows, columns] that share a scale.
  std::array<int64_t, 2> block(string_view key) {
    const json* const found = find(key);
    if (found == nullptr) return {1, 0};
    const auto is_size = [](const json& n) {
      return n.is_number_integer() && n.get<int64_t>() >= 1 && n.get<int64_t>() <= 1 << 20;
    };
    if (!found->is_array() || found->size() != 2 || !std::ranges::all_of(*found, is_size))
      wrong(key, "two sizes");
    return {(*found)[0].get<int64_t>(), (*found)[1].get<int64_t>()};
  }
  void ignore(std::span<const string_view> keys) {
    asked_.insert(asked_.end(), keys.begin(), keys.end());
  }
  void check_all_asked() const {
    for (const auto& [key, value] : object_.items()) {
      const bool says_nothing = value.is_null() || value == false ||
                                ((value.is_object() || value.is_array()) && value.empty());
      if (!says_nothing && std::ranges::find(asked_, string_view(key)) == asked_.end())
        unknown(key, value.dump(-1, ' ', true, json::error_handler_t::replace));
    }
  }
  const std::string& where() const { return where_; }

  [[noreturn]] void wrong(string_view key, string_view wanted) const {
    fail(ErrorKind::bad_model, "{}.{} is not {}", where_, key, wanted);
  }
  [[noreturn]] void unknown(string_view key, string_view value) const {
    fail(
        ErrorKind::unsupported,
        "{}.{} is {}, which Sluice does not know; it may change every weight. Use the original, or "
        "an MLX or GGUF conversion of it",
        where_, printable(key), printable(value.substr(0, 60)));
  }

 private:
  const json& object_;
  std::string where_;
  std::vector<string_view> asked_;
};

void read_gptq(Keys& keys, PublishedQuantization& q) {
  static constexpr string_view kFormats[] = {"gptq", "gptq_v2"};
  static constexpr string_view kWords[] = {"int32"};
  // How the weights were found, and which kernels others use.
  static constexpr string_view kOfNoUse[] = {"true_sequential",
                                             "static_groups",
                                             "damp_percent",
                                             "damp_auto_increment",
                                             "meta",
                                             "quantizer",
                                             "model_name_or_path",
                                             "model_file_base_name",
                                             "dataset",
                                             "tokenizer",
                                             "cache_block_outputs",
                                             "cache_examples_on_gpu",
                                             "module_name_preceding_first_block",
                                             "modules_in_block_to_quantize",
                                             "block_name_to_quantize",
                                             "pad_token_id",
                                             "use_cuda_fp16",
                                             "use_exllama",
                                             "disable_exllama",
                                             "exllama_config",
                                             "max_input_length",
                                             "model_seqlen",
                                             "batch_size",
                                             "mse",
                                             "pack_impl",
                                             "backend",
                                             "sym",
                                             "lm_head"};
  q.method = Method::gptq;
  q.schemes = {{false, keys.whole("bits", 4), keys.whole("group_size", -1)}};
  const std::string format = keys.one_of("checkpoint_format", "gptq", kFormats);
  q.zeros_less_one = keys.one_of("format", format, kFormats) == "gptq";
  q.needs_order = keys.truth("desc_act", false);
  keys.one_of("pack_dtype", "int32", kWords);
  keys.ignore(kOfNoUse);
}

void read_awq(Keys& keys, PublishedQuantization& q) {
  static constexpr string_view kVersions[] = {"gemm"};
  static constexpr string_view kOfNoUse[] = {
      "modules_to_not_convert", "backend",          "do_fuse",
      "exllama_config",         "fuse_max_seq_len", "modules_to_fuse"};
  q.method = Method::awq;
  q.schemes = {{false, keys.whole("bits", 4), keys.whole("group_size", 128)}};
  if (q.schemes[0].bits != 4) keys.unknown("bits", std::to_string(q.schemes[0].bits));
  keys.one_of("version", "gemm", kVersions);
  if (!keys.truth("zero_point", true)) keys.unknown("zero_point", "false");
  keys.ignore(kOfNoUse);
}

void read_fp8(Keys& keys, PublishedQuantization& q) {
  static constexpr string_view kElements[] = {"e4m3", "float8_e4m3fn"};
  // Activations are not rounded as a checkpoint proposes; ue8m0 says that its scales are powers of two.
  static constexpr string_view kOfNoUse[] = {"activation_scheme",      "ignored_layers",
                                             "modules_to_not_convert", "activation_scale_ub",
                                             "kv_cache_scheme",        "scale_fmt"};
  q.method = Method::fp8;
  keys.one_of("fmt", "e4m3", kElements);
  const auto [rows, columns] = keys.block("weight_block_size");
  q.block_rows = rows;
  q.schemes = {{true, 8, columns}};
  if (keys.text("scale_fmt", "") == "ue8m0" && columns == 32)
    q.schemes.push_back({true, 4, columns});  // DeepSeek's experts
  keys.ignore(kOfNoUse);
}

/// One of compressed-tensors' config_groups.
Scheme read_scheme(Keys& keys, PublishedQuantization& q) {
  static constexpr string_view kTypes[] = {"int", "float"};
  static constexpr string_view kStrategies[] = {"tensor", "channel", "group", "tensor_group",
                                                "block"};
  static constexpr string_view kOfNoUse[] = {"symmetric", "observer",    "observer_kwargs",
                                             "actorder",  "scale_dtype", "zp_dtype"};
  Scheme scheme{keys.one_of("type", "int", kTypes) == "float", keys.whole("num_bits", 8), 0};
  const std::string strategy = keys.one_of("strategy", "tensor", kStrategies);
  scheme.group_size = keys.whole("group_size", -1);
  if (strategy == "tensor" || strategy == "channel") scheme.group_size = -1;
  if (const auto [rows, columns] = keys.block("block_structure"); strategy == "block") {
    q.block_rows = rows;
    scheme.group_size = columns;
  }
  keys.ignore(kOfNoUse);
  keys.check_all_asked();
  return scheme;
}

void read_schemes(Keys& keys, PublishedQuantization& q) {
  static constexpr string_view kOfNoUse[] = {"targets", "input_activations", "output_activations",
                                             "format"};
  const json* const groups = keys.find("config_groups");
  if (groups == nullptr) return;
  if (!groups->is_object()) keys.wrong("config_groups", "an object");
  for (const auto& [name, group] : groups->items()) {
    Keys of_group(group, fmt::format("{}.config_groups.{}", keys.where(), printable(name)));
    if (const json* const weights = of_group.find("weights")) {
      Keys of_weights(*weights, of_group.where() + ".weights");
      q.schemes.push_back(read_scheme(of_weights, q));
    }
    of_group.ignore(kOfNoUse);
    of_group.check_all_asked();
  }
}

void read_compressed_tensors(Keys& keys, PublishedQuantization& q) {
  static constexpr string_view kFormats[] = {
      "dense",           "pack-quantized",       "int-quantized",        "naive-quantized",
      "float-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mixed-precision"};
  static constexpr string_view kOfNoUse[] = {"ignore", "kv_cache_scheme", "quantization_status",
                                             "global_compression_ratio", "version"};
  q.method = Method::compressed_tensors;
  keys.one_of("format", "dense", kFormats);
  read_schemes(keys, q);
  if (const json* const sparsity = keys.find("sparsity_config");
      sparsity != nullptr && !sparsity->empty()) {
    static constexpr string_view kDense[] = {"dense"};
    Keys(*sparsity, keys.where() + ".sparsity_config").one_of("format", "", kDense);
  }
  keys.ignore(kOfNoUse);
}

void read_modelopt(Keys& keys, PublishedQuantization& q) {
  static constexpr string_view kAlgorithms[] = {"fp8", "nvfp4", "mxfp8", "mixed_precision"};
  static constexpr string_view kOfNoUse[] = {
      "producer",        "ignore",     "kv_cache_scheme",  "kv_cache_quant_algo",
      "exclude_modules", "group_size", "quantized_layers", "config_groups"};
  q.method = Method::modelopt;
  const std::string algorithm = keys.one_of("quant_algo", "", kAlgorithms);
  if (algorithm == "fp8") q.schemes = {{true, 8, -1}};
  if (algorithm == "nvfp4") q.schemes = {{true, 4, 16}};
  if (algorithm == "mxfp8") q.schemes = {{true, 8, 32}};
  keys.ignore(kOfNoUse);
}

void read_bitsandbytes(Keys& keys, PublishedQuantization& q) {
  static constexpr string_view kOfNoUse[] = {"_load_in_8bit",
                                             "_load_in_4bit",
                                             "llm_int8_enable_fp32_cpu_offload",
                                             "llm_int8_has_fp16_weight",
                                             "llm_int8_skip_modules",
                                             "llm_int8_threshold",
                                             "bnb_4bit_compute_dtype",
                                             "bnb_4bit_quant_storage",
                                             "bnb_4bit_quant_type",
                                             "bnb_4bit_use_double_quant"};
  q.method = Method::bitsandbytes;
  if (!keys.truth("load_in_8bit", false)) keys.unknown("load_in_8bit", "false");
  q.schemes = {{false, 8, -1}};
  keys.ignore(kOfNoUse);
}

void read_bitnet(Keys& keys, PublishedQuantization& q) {
  static constexpr string_view kClasses[] = {"bitlinear", "autobitlinear"};
  static constexpr string_view kModes[] = {"offline"};  // else weights are rounded as they are used
  static constexpr string_view kOfNoUse[] = {"modules_to_not_convert", "rms_norm_eps"};
  q.method = Method::bitnet;
  q.scale_divides = keys.one_of("linear_class", "bitlinear", kClasses) == "bitlinear";
  keys.one_of("quantization_mode", "offline", kModes);
  if (keys.truth("use_rms_norm", false)) keys.unknown("use_rms_norm", "true");
  keys.ignore(kOfNoUse);
}

struct Reader {
  string_view name;
  void (*read)(Keys&, PublishedQuantization&);
};
constexpr Reader kReaders[] = {
    {"gptq", read_gptq},
    {"awq", read_awq},
    {"fp8", read_fp8},
    {"fbgemm_fp8", read_fp8},
    {"compressed-tensors", read_compressed_tensors},
    {"modelopt", read_modelopt},
    {"modelopt_fp4", read_modelopt},
    {"bitsandbytes", read_bitsandbytes},
    {"bitnet", read_bitnet},
};

}  // namespace

nn::PublishedQuantization read_published_quantization(const Source& source) {
  const json* const given = source.is_gguf() ? nullptr : source.object("quantization_config");
  // MLX names no method; gpt-oss as published says mxfp4, and has its experts as MLX has them.
  if (given == nullptr || !given->contains("quant_method")) return {};
  Keys keys(*given, source.where() + ": quantization_config");
  const std::string method = keys.text("quant_method", "");
  if (method.empty() || method == "mxfp4") return {};
  const auto* const reader = std::ranges::find(kReaders, method, &Reader::name);
  if (reader == std::end(kReaders)) keys.unknown("quant_method", method);
  PublishedQuantization q;
  reader->read(keys, q);
  keys.check_all_asked();
  return q;
}

}  // namespace sluice::models
