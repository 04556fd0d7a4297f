#pragma once

// For tests: a model whose layers carry states.

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "sluice/io/formats/test_files.h"

namespace sluice::decode {

inline constexpr int64_t kHybridVocab = 53;

/// A random Qwen3.5 of three layers, of which the last one attends, in float32.
inline std::map<std::string, std::vector<int64_t>> hybrid_tensors() {
  std::map<std::string, std::vector<int64_t>> all{{"model.embed_tokens.weight", {kHybridVocab, 32}},
                                                  {"model.norm.weight", {32}}};
  for (int layer = 0; layer < 3; ++layer) {
    const std::string in = fmt::format("model.layers.{}.", layer);
    for (const char* norm : {"input_layernorm.weight", "post_attention_layernorm.weight"})
      all[in + norm] = {32};
    all[in + "mlp.gate_proj.weight"] = all[in + "mlp.up_proj.weight"] = {48, 32};
    all[in + "mlp.down_proj.weight"] = {32, 48};
    if (layer == 2) {
      all[in + "self_attn.q_proj.weight"] = {2 * 4 * 8, 32};
      all[in + "self_attn.k_proj.weight"] = all[in + "self_attn.v_proj.weight"] = {2 * 8, 32};
      all[in + "self_attn.o_proj.weight"] = {32, 4 * 8};
      all[in + "self_attn.q_norm.weight"] = all[in + "self_attn.k_norm.weight"] = {8};
      continue;
    }
    const std::string linear = in + "linear_attn.";
    all[linear + "in_proj_qkv.weight"] = {2 * 2 * 8 + 4 * 12, 32};
    all[linear + "in_proj_z.weight"] = {4 * 12, 32};
    all[linear + "in_proj_a.weight"] = all[linear + "in_proj_b.weight"] = {4, 32};
    all[linear + "conv1d.weight"] = {2 * 2 * 8 + 4 * 12, 4, 1};
    all[linear + "A_log"] = all[linear + "dt_bias"] = {4};
    all[linear + "norm.weight"] = {12};
    all[linear + "out_proj.weight"] = {32, 4 * 12};
  }
  return all;
}

inline constexpr const char* kHybridConfig =
    R"({"model_type": "qwen3_5", "vocab_size": 53, "hidden_size": 32,
  "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
  "intermediate_size": 48, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5,
  "full_attention_interval": 3, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
  "linear_key_head_dim": 8, "linear_value_head_dim": 12, "linear_conv_kernel_dim": 4,
  "tie_word_embeddings": true, "torch_dtype": "float32"})";

inline void write_hybrid(const io::TestDirectory& directory) {
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::string header = "{", data;
  for (const auto& [name, shape] : hybrid_tensors()) {
    const auto n = std::reduce(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    const size_t begin = data.size();
    for (int64_t i = 0; i < n; ++i) {
      const bool is_norm = name.find("norm") != std::string::npos;
      const auto width = static_cast<float>(shape.size() > 1 ? shape[1] : 1);
      const float value =
          is_norm ? 1 + normal(random) / 4 : 1.5F * normal(random) / std::sqrt(width);
      data.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
    header +=
        fmt::format(R"({}"{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})",
                    header.size() == 1 ? "" : ",", name, io::shape_text(shape), begin, data.size());
  }
  header += "}";
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  directory.write("model.safetensors", file + header + data);
  directory.write("config.json", kHybridConfig);
}

}  // namespace sluice::decode
