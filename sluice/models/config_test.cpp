#include "sluice/models/config.h"

#include <gtest/gtest.h>

#include "sluice/base/error.h"
#include "sluice/models/registry.h"

namespace sluice::models {
namespace {

using nn::RopeConfig;

nlohmann::json llama_config() {
  return {{"model_type", "llama"},    {"vocab_size", 100},        {"hidden_size", 64},
          {"num_hidden_layers", 4},   {"num_attention_heads", 4}, {"num_key_value_heads", 2},
          {"intermediate_size", 128}, {"rms_norm_eps", 1e-5},     {"max_position_embeddings", 512}};
}

nn::Config read(const nlohmann::json& config) {
  return read_config(Source::from_config(config, "config.json"), {});
}

TEST(Config, common_fields_are_read_and_defaults_follow) {
  const nn::Config c = read(llama_config());
  EXPECT_EQ(c.head_dim, 16);
  EXPECT_FLOAT_EQ(c.attention_scale, 0.25F);
  EXPECT_TRUE(c.tie_word_embeddings) << "no lm_head in the files";
  ASSERT_EQ(c.layers.size(), 4U);
  EXPECT_EQ(c.layers[0].sliding_window, 0);
  EXPECT_EQ(c.layers[0].rope.theta, 10000);
}

TEST(Config, both_spellings_of_rope_parameters_are_understood) {
  auto config = llama_config();
  config["rope_theta"] = 500000.0;
  config["rope_scaling"] = {
      {"rope_type", "llama3"}, {"factor", 8.0}, {"original_max_position_embeddings", 64}};
  const RopeConfig older = read(config).layers[0].rope;
  config.erase("rope_theta");
  config["rope_parameters"] = config["rope_scaling"];
  config["rope_parameters"]["rope_theta"] = 500000.0;
  config.erase("rope_scaling");
  EXPECT_EQ(read(config).layers[0].rope, older);
  EXPECT_EQ(older.kind, RopeConfig::Kind::llama3);
}

TEST(Config, layer_types_choose_the_sliding_layers) {
  auto config = llama_config();
  config["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention",
                           "full_attention"};
  config["sliding_window"] = 16;
  const nn::Config c = read(config);
  EXPECT_EQ(c.layers[0].sliding_window, 16);
  EXPECT_EQ(c.layers[1].sliding_window, 0);
}

TEST(Config, gemma3_has_local_layers_with_their_own_rope) {
  auto config = llama_config();
  config["model_type"] = "gemma3_text";
  config["sliding_window_pattern"] = 2;
  config["sliding_window"] = 8;
  config["rope_theta"] = 1e6;
  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  const nn::Config c = read(config);
  EXPECT_EQ(c.layers[0].rope.theta, 1e4);
  EXPECT_EQ(c.layers[0].rope.kind, RopeConfig::Kind::plain);
  EXPECT_EQ(c.layers[1].rope.theta, 1e6);
  EXPECT_EQ(c.layers[1].rope.kind, RopeConfig::Kind::linear);
}

TEST(Config, damaged_configs_are_refused) {
  const auto with = [](const char* key, nlohmann::json value) {
    auto config = llama_config();
    config[key] = std::move(value);
    return config;
  };
  const std::vector<nlohmann::json> damaged{
      with("hidden_size", "64"),
      with("hidden_size", -1),
      with("num_hidden_layers", 0),
      with("num_hidden_layers", 1e18),
      with("num_attention_heads", 3),
      with("num_key_value_heads", 0),
      with("head_dim", 0),
      with("rope_scaling", {{"rope_type", "nonsense"}}),
      with("layer_types", {"full_attention"}),
      with("hidden_act", "tanhish"),
      with("vocab_size", 1.5),
      with("rope_scaling", {{"rope_type", "longrope"}, {"factor", 2.0}})};
  for (const auto& config : damaged) EXPECT_THROW(read(config), Error) << config;
  EXPECT_THROW(Source::from_config(nlohmann::json::object(), "config.json"), Error);
}

TEST(Config, quantization_is_known_of_the_modules_it_names) {
  auto config = llama_config();
  config["quantization"] = {{"bits", 4},
                            {"group_size", 64},
                            {"lm_head", {{"bits", 8}, {"group_size", 32}}},
                            {"model.norm", false}};
  const auto q = quantization_of(Source::from_config(config, "config.json"));
  EXPECT_EQ(q("lm_head")->bits, 8);
  EXPECT_EQ(q("lm_head")->mode, "affine");
  EXPECT_FALSE(q("model.norm"));
  EXPECT_FALSE(q("anything"));
  EXPECT_EQ(quantization_of(Source::from_config(llama_config(), "config.json")), nullptr);
}

TEST(Registry, unknown_architectures_are_unsupported_and_known_ones_listed) {
  try {
    find_family("transformer_xl");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_NE(std::string(error.what()).find("qwen3_moe"), std::string::npos);
  }
  for (const std::string& name : architectures())
    EXPECT_NE(find_family(name).make, nullptr) << name;
}

}  // namespace
}  // namespace sluice::models
