#include "sluice/models/load.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sluice/base/error.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::models {
namespace {

using Shape = std::vector<int64_t>;

/// A llama of two layers in float32, whose values are all 0, with what a test adds to it or takes
/// from it.
struct TinyModel {
  nlohmann::json config{{"model_type", "llama"},    {"vocab_size", 10},
                        {"hidden_size", 8},         {"num_hidden_layers", 2},
                        {"num_attention_heads", 2}, {"num_key_value_heads", 1},
                        {"intermediate_size", 6},   {"max_position_embeddings", 64},
                        {"rms_norm_eps", 1e-5},     {"tie_word_embeddings", true}};
  std::map<std::string, Shape> tensors{{"model.embed_tokens.weight", {10, 8}},
                                       {"model.norm.weight", {8}}};

  TinyModel() {
    for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
      tensors[layer + "input_layernorm.weight"] = {8};
      tensors[layer + "post_attention_layernorm.weight"] = {8};
      tensors[layer + "self_attn.q_proj.weight"] = {8, 8};
      tensors[layer + "self_attn.k_proj.weight"] = {4, 8};
      tensors[layer + "self_attn.v_proj.weight"] = {4, 8};
      tensors[layer + "self_attn.o_proj.weight"] = {8, 8};
      tensors[layer + "mlp.gate_proj.weight"] = {6, 8};
      tensors[layer + "mlp.up_proj.weight"] = {6, 8};
      tensors[layer + "mlp.down_proj.weight"] = {8, 6};
    }
  }

  /// The config and the weights, or their header alone.
  void write(const io::TestDirectory& directory, bool with_data = true) const {
    nlohmann::json header = nlohmann::json::object();
    uint64_t end = 0;
    for (const auto& [name, shape] : tensors) {
      const auto elements =
          std::reduce(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
      const uint64_t begin = end;
      end += 4 * static_cast<uint64_t>(elements);
      header[name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {begin, end}}};
    }
    const std::string text = header.dump();
    const uint64_t length = text.size();
    std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
    directory.write("model.safetensors", file + text + std::string(with_data ? end : 0, '\0'));
    directory.write("config.json", config.dump());
  }

  LoadedModel load(LoadOptions options = {}) const {
    const io::TestDirectory directory;
    write(directory);
    return load_model(directory.path(), options);
  }

  /// What loading it says; nothing when it loads.
  std::string refusal(ErrorKind kind = ErrorKind::unsupported) const {
    try {
      load();
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      return error.what();
    }
  }
};

TEST(Load, a_tensor_that_no_layer_asks_for_is_refused_by_name) {
  const std::vector<std::pair<std::string, Shape>> extras{
      {"model.layers.1.self_attn.gate_proj.weight", {8, 8}},
      {"model.layers.0.input_layernorm.bias", {8}},
      {"model.layers.0.mlp.A_log", {2, 3}},
      {"model.layers.0.mlp.conv1d.weight", {8, 1, 4}},
      {"model.layers.0.mlp.experts.3.gate_proj.weight", {6, 8}},
      {"draft_head.patch.weight", {2, 2}},
      {"scalar", {}}};
  for (const auto& [name, shape] : extras) {
    TinyModel model;
    model.tensors[name] = shape;
    EXPECT_NE(model.refusal().find("model.safetensors: " + name + ": is no part of 'llama'"),
              std::string::npos)
        << model.refusal();
  }
  TinyModel two;
  for (const auto& [name, shape] : extras) two.tensors[name] = shape;
  EXPECT_NE(two.refusal().find("(nor are 6 more)"), std::string::npos) << two.refusal();
}

TEST(Load, what_no_computation_needs_is_passed_over) {
  TinyModel model;
  model.tensors["lm_head.weight"] = {10, 8};
  model.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {2};
  model.tensors["model.layers.0.self_attn.k_scale"] = {};
  EXPECT_EQ(model.refusal(), "");
  model.config["tie_word_embeddings"] = false;
  EXPECT_EQ(model.refusal(), "") << "then it is the output projection";
}

TEST(Load, norms_of_another_shape_and_layers_too_many_are_refused) {
  TinyModel norms;
  norms.tensors["model.layers.0.self_attn.q_norm.weight"] = {2, 4};
  EXPECT_EQ(norms.refusal(), "") << "a row for each head";
  for (const auto& [shape, said] : std::map<Shape, std::string>{{{4, 2}, "[4, 2]"}, {{6}, "[6]"}}) {
    norms.tensors["model.layers.0.self_attn.q_norm.weight"] = shape;
    EXPECT_NE(norms.refusal(ErrorKind::bad_model).find("q_norm.weight: is f32 " + said),
              std::string::npos);
  }
  TinyModel layers;
  layers.config["num_hidden_layers"] = 1;
  EXPECT_NE(layers.refusal(ErrorKind::bad_model).find("counts 1 layers"), std::string::npos);
}

TEST(Load, an_error_names_the_file_of_its_tensor) {
  TinyModel model;
  model.tensors["model.layers.1.mlp.up_proj.weight"] = {7, 8};
  const std::string message = model.refusal(ErrorKind::bad_model);
  EXPECT_EQ(
      message,
      "model.safetensors: model.layers.1.mlp.up_proj.weight: is f32 [7, 8], config needs [6, 8]");
}

TEST(Load, packed_weights_need_a_configuration_that_says_how) {
  TinyModel model;
  model.tensors["model.layers.0.self_attn.q_proj.qweight"] = {1, 8};
  model.tensors.erase("model.layers.0.self_attn.q_proj.weight");
  EXPECT_NE(model.refusal(ErrorKind::bad_model).find("q_proj.qweight: is f32 with scales, and"),
            std::string::npos);
}

TEST(Load, two_names_of_one_tensor_are_refused) {
  TinyModel model;
  model.tensors["language_model.model.norm.weight"] = {8};
  EXPECT_NE(model.refusal(ErrorKind::bad_model).find("are both model.norm.weight"),
            std::string::npos);
}

TEST(Load, extents_are_those_of_what_was_bound_in_the_order_of_use) {
  TinyModel model;
  model.tensors["lm_head.weight"] = {10, 8};
  model.config["tie_word_embeddings"] = false;
  model.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = {2, 2};
  const LoadedModel loaded = model.load();
  ASSERT_EQ(loaded.extents.layers.size(), 2U);
  std::vector<std::string> order;
  for (const auto& part : loaded.extents.layers[1].dense) {
    ASSERT_EQ(part.size(), 1U);
    for (const auto& [name, tensor] : loaded.store->index().tensors) {
      if (tensor.offset == part[0].offset) order.push_back(name.substr(15));
    }
  }
  EXPECT_EQ(order, (std::vector<std::string>{"self_attn.q_proj.weight", "self_attn.k_proj.weight",
                                             "self_attn.v_proj.weight", "self_attn.o_proj.weight",
                                             "mlp.gate_proj.weight", "mlp.up_proj.weight",
                                             "mlp.down_proj.weight"}));
  EXPECT_EQ(loaded.extents.embedding.size(), 1U);
  EXPECT_EQ(loaded.extents.head.rows(), 10);
  EXPECT_EQ(loaded.active.all.count, 4U * (2 * (64 + 32 + 32 + 64 + 3 * 48) + 80));
}

TEST(Load, gemma3_checkpoints_that_see_run_their_text_part) {
  TinyModel text;
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    text.tensors[layer + "pre_feedforward_layernorm.weight"] = {8};
    text.tensors[layer + "post_feedforward_layernorm.weight"] = {8};
    text.tensors[layer + "self_attn.q_norm.weight"] = {4};
    text.tensors[layer + "self_attn.k_norm.weight"] = {4};
  }
  text.config["head_dim"] = 4;
  text.config["model_type"] = "gemma3_text";
  for (const bool newer : {false, true}) {
    TinyModel seeing;
    seeing.config = {{"model_type", "gemma3"}, {"text_config", text.config}};
    seeing.tensors.clear();
    for (const auto& [name, shape] : text.tensors) {
      const std::string renamed = newer ? fmt::format("model.language_model.{}", name.substr(6))
                                        : fmt::format("language_model.{}", name);
      seeing.tensors[renamed] = shape;
    }
    for (const char* part : {"vision_tower.vision_model.post_layernorm.bias",
                             "multi_modal_projector.mm_input_projection_weight"}) {
      seeing.tensors[fmt::format("{}{}", newer ? "model." : "", part)] = {3};
    }
    EXPECT_EQ(seeing.refusal(), "");
    seeing.tensors["language_model.model.layers.0.extra.weight"] = {3, 8};
    EXPECT_NE(seeing.refusal().find("layers.0.extra.weight"), std::string::npos);
  }
  EXPECT_EQ(text.load().model->config().layers[0].attention()->rope.theta, 1e4);
}

/// The process's largest resident set so far. It only grows, so what a test adds is seen or hidden,
/// never invented.
uint64_t peak_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) << 10;
}

TEST(Load, a_small_file_takes_little_memory_whatever_it_claims) {
  std::vector<std::pair<const char*, TinyModel>> models;
  const auto add = [&](const char* what) -> TinyModel& {
    return models.emplace_back(what, TinyModel()).second;
  };
  TinyModel& numbers = add("experts of large numbers");
  for (int i = 0; i < 200; ++i)
    numbers.tensors["x" + std::to_string(i) + ".experts.65535.a.weight"] = {1, 1};
  add("a stack of nothing under a long name")
      .tensors["model.layers.0.mlp.experts." + std::string(20000, 'a') + ".weight"] = {65536, 0, 1};
  for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
    TinyModel& empty = add("a stack without rows");
    empty.config.update({{"num_local_experts", 65536}, {"num_experts_per_tok", 1}});
    empty.tensors[std::string("model.layers.0.mlp.experts.") + name + ".weight"] = {65536, 0, 8};
  }
  TinyModel& divisors = add("a table of RoPE divisors for each of many layers");
  divisors.config["num_hidden_layers"] = 4096;
  divisors.config["rope_scaling"] = {{"type", "longrope"},
                                     {"long_factor", std::vector<int>(100000, 1)}};
  TinyModel& experts = add("many experts in many layers");
  experts.config.update(
      {{"num_hidden_layers", 4096}, {"num_local_experts", 65536}, {"num_experts_per_tok", 1}});
  for (const auto& [what, model] : models) {
    const uint64_t before = peak_bytes();
    EXPECT_THROW(model.load(), Error) << what;
    EXPECT_LT(peak_bytes() - before, 40U << 20) << what;
  }
}

TEST(Load, headers_alone_promise_no_memory) {
  TinyModel model;  // its norms would take 8 GB each
  const int64_t wide = int64_t{1} << 31;
  model.config["hidden_size"] = wide;
  model.config["head_dim"] = 4;
  for (auto& [name, shape] : model.tensors) {
    for (int64_t& n : shape) n = n == 8 && !name.ends_with("q_proj.weight") ? wide : n;
  }
  for (const std::string layer : {"model.layers.0.", "model.layers.1."}) {
    model.tensors[layer + "self_attn.q_proj.weight"] = {8, wide};
    model.tensors[layer + "self_attn.o_proj.weight"] = {wide, 8};
  }
  const io::TestDirectory directory;
  model.write(directory, /*with_data=*/false);
  const uint64_t before = peak_bytes();
  const LoadedModel loaded = load_model(directory.path(), {.mode = residency::LoadMode::headers});
  EXPECT_EQ(loaded.model->config().hidden_size, wide);
  EXPECT_LT(peak_bytes() - before, 40U << 20);
}

}  // namespace
}  // namespace sluice::models
