#include "sluice/models/config.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

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
  const Source source = Source::from_config(config, "config.json");
  const residency::WeightStore store(io::TensorIndex{});
  nn::WeightTable weights(store);
  nn::Config read = family_of(source).read(source, weights);
  source.check_all_asked();
  return read;
}

/// What reading this config says; nothing when it is accepted.
std::string refusal(const nlohmann::json& config) {
  try {
    read(config);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

nlohmann::json with(nlohmann::json config, const nlohmann::json& changes) {
  if (!changes.is_null()) config.update(changes);
  return config;
}

TEST(Config, common_fields_are_read_and_defaults_follow) {
  const nn::Config c = read(llama_config());
  EXPECT_EQ(c.attention()->head_dim, 16);
  EXPECT_FLOAT_EQ(c.attention()->scale, 0.25F);
  EXPECT_TRUE(c.tie_word_embeddings) << "no lm_head in the files";
  ASSERT_EQ(c.layers.size(), 4U);
  EXPECT_EQ(c.layers[0].attention()->sliding_window, 0);
  EXPECT_EQ(c.layers[0].attention()->rope.theta, 10000);
}

TEST(Config, sizes_of_states_are_checked) {
  const nlohmann::json mamba2{{"model_type", "mamba2"}, {"vocab_size", 100}, {"hidden_size", 64},
                              {"num_hidden_layers", 2}, {"num_heads", 6},    {"head_dim", 16},
                              {"state_size", 8},        {"n_groups", 2},     {"conv_kernel", 4}};
  EXPECT_EQ(refusal(mamba2), "");
  EXPECT_EQ(refusal(with(mamba2, {{"n_groups", 4}})), "config.json: 6 Mamba heads in 4 groups");
  EXPECT_EQ(refusal(with(mamba2, {{"state_size", 0}})),
            "config.json: a recurrent layer's sizes have 0, wanted 1 to 65536");
  EXPECT_EQ(refusal(with(mamba2, {{"conv_kernel", 1 << 20}})),
            "config.json: a recurrent layer's sizes have 1048576, wanted 1 to 65536");
  const nlohmann::json kimi{{"model_type", "kimi_linear"},
                            {"vocab_size", 100},
                            {"hidden_size", 64},
                            {"num_hidden_layers", 2},
                            {"num_attention_heads", 4},
                            {"intermediate_size", 64},
                            {"kv_lora_rank", 16},
                            {"qk_rope_head_dim", 4},
                            {"qk_nope_head_dim", 8},
                            {"v_head_dim", 8},
                            {"linear_attn_config", {{"head_dim", 8}, {"kda_layers", {1, 3}}}}};
  EXPECT_EQ(refusal(kimi), "config.json: kda_layers has 3, there are 2 layers");
}

TEST(Config, layers_share_compressed_rows_of_the_same_length_only) {
  const nlohmann::json shared{{"model_type", "deepseek_v41"},
                              {"vocab_size", 100},
                              {"hidden_size", 64},
                              {"num_hidden_layers", 4},
                              {"num_attention_heads", 4},
                              {"head_dim", 32},
                              {"qk_rope_head_dim", 8},
                              {"n_routed_experts", 4},
                              {"num_experts_per_tok", 2},
                              {"compress_ratios", {3, 3, 0, 3}},
                              {"kv_source_layer_ids", {0}},
                              {"index_source_layer_ids", {0, 3}},
                              {"candidate_source_layer_id", 0},
                              {"candidate_topk_blocks", 4},
                              {"candidate_block_size", 8},
                              {"index_topk", 25}};
  const nn::Config c = read(shared);
  const auto of = [&](size_t i) {
    return std::get<nn::CompressedAttentionConfig>(c.layers[i].mixer);
  };
  EXPECT_TRUE(of(0).compresses && of(0).finds_candidates && !of(0).chooses_candidates);
  EXPECT_TRUE(of(1).rows_of_layer == 0 && !of(1).chooses && !of(1).compresses);
  EXPECT_EQ(of(2).rows_of_layer, -1) << "it has the window alone";
  EXPECT_TRUE(of(3).keys_of_layer == 0 && of(3).chooses_candidates);
  EXPECT_TRUE(of(2).rope.theta == 10000 && of(3).rope.theta == 160000);
  EXPECT_EQ(refusal(with(shared, {{"compress_ratios", {3, 4, 0, 3}}})),
            "config.json: layer 1 has rows of 4 tokens and shares layer 0's of 3");
  EXPECT_EQ(refusal(with(shared, {{"index_topk", 26}})),
            "config.json: index_topk is 26, of 32 candidates");
  EXPECT_EQ(refusal(with(shared, {{"compress_ratios", {3, 0.5}}})),
            "config.json: compress_ratios has 0.5, wanted whole numbers from 0 on");
  EXPECT_EQ(refusal(with(shared, {{"engram_layer_ids", {1}}})),
            "config.json: engram_layer_ids names layers with an engram memory, which Sluice does "
            "not have");
  for (const auto& damaged :
       {nlohmann::json{{"hc_mult", 0}}, nlohmann::json{{"o_groups", 3}},
        nlohmann::json{{"head_dim", 0}}, nlohmann::json{{"sliding_window", 0}},
        nlohmann::json{{"index_head_dim", 4}}, nlohmann::json{{"candidate_block_size", 0}},
        nlohmann::json{{"gate_temp", 0}}}) {
    EXPECT_NE(refusal(with(shared, damaged)), "") << damaged;
  }
}

TEST(Config, both_spellings_of_rope_parameters_are_understood) {
  auto config = llama_config();
  config["rope_theta"] = 500000.0;
  config["rope_scaling"] = {
      {"rope_type", "llama3"}, {"factor", 8.0}, {"original_max_position_embeddings", 64}};
  const RopeConfig older = read(config).layers[0].attention()->rope;
  config.erase("rope_theta");
  config["rope_parameters"] = config["rope_scaling"];
  config["rope_parameters"]["rope_theta"] = 500000.0;
  config.erase("rope_scaling");
  EXPECT_EQ(read(config).layers[0].attention()->rope, older);
  EXPECT_EQ(older.kind, RopeConfig::Kind::llama3);
}

TEST(Config, layer_types_choose_the_sliding_layers) {
  auto config = llama_config();
  config["layer_types"] = {"sliding_attention", "full_attention", "sliding_attention",
                           "full_attention"};
  config["sliding_window"] = 16;
  const nn::Config c = read(config);
  EXPECT_EQ(c.layers[0].attention()->sliding_window, 16);
  EXPECT_EQ(c.layers[1].attention()->sliding_window, 0);
}

TEST(Config, gemma3_has_local_layers_with_their_own_rope) {
  auto config = llama_config();
  config["model_type"] = "gemma3_text";
  config["sliding_window_pattern"] = 2;
  config["sliding_window"] = 8;
  config["rope_theta"] = 1e6;
  config["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 8.0}};
  const nn::Config c = read(config);
  EXPECT_EQ(c.layers[0].attention()->rope.theta, 1e4);
  EXPECT_EQ(c.layers[0].attention()->rope.kind, RopeConfig::Kind::plain);
  EXPECT_EQ(c.layers[1].attention()->rope.theta, 1e6);
  EXPECT_EQ(c.layers[1].attention()->rope.kind, RopeConfig::Kind::linear);
}

TEST(Config, damaged_configs_are_refused) {
  const auto with = [](const char* key, nlohmann::json value) {
    auto config = llama_config();
    config[key] = std::move(value);
    return config;
  };
  const std::vector<nlohmann::json> damaged{
      with("layer_types", std::vector<std::string>(4, "linear_attention")),
      with("rope_scaling", {{"rope_type", "longrope"}, {"long_factor", std::vector<double>(9)}}),
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

TEST(Config, a_family_that_reads_its_experts_itself_bounds_them_as_others_do) {
  const nlohmann::json gemma4 = with(llama_config(), {{"model_type", "gemma4_text"},
                                                      {"enable_moe_block", true},
                                                      {"moe_intermediate_size", 8},
                                                      {"num_experts", 4},
                                                      {"top_k_experts", 2}});
  EXPECT_EQ(refusal(gemma4), "");
  EXPECT_EQ(refusal(with(gemma4, {{"num_experts", 65536}, {"num_hidden_layers", 8}})),
            "config.json: 2 of 65536 experts per token in 8 layers");
  EXPECT_NE(refusal(with(gemma4, {{"top_k_experts", 5}})), "");
}

TEST(Config, yarn_is_read_as_transformers_reads_it) {
  const auto yarn = [](const nlohmann::json& changes) {
    return read(with(llama_config(),
                     {{"rope_scaling", with({{"rope_type", "yarn"}, {"factor", 8.0}}, changes)}}))
        .attention()
        ->rope;
  };
  EXPECT_EQ(yarn({}).original_positions, 512) << "max_position_embeddings";
  EXPECT_TRUE(yarn({}).truncate);
  EXPECT_FALSE(yarn({{"truncate", false}}).truncate);
  EXPECT_EQ(yarn({{"attention_factor", 3.0}}).attention_factor, 3.0);
  EXPECT_EQ(yarn({{"mscale", 0.7}}), yarn({})) << "one mscale alone counts for nothing";
  EXPECT_EQ(yarn({{"mscale", 0.7}, {"mscale_all_dim", 0.5}}).mscale_all_dim, 0.5);
  EXPECT_EQ(yarn({{"factor", nullptr}, {"original_max_position_embeddings", 64}}).factor, 8.0);
}

TEST(Config, partial_rotary_factor_is_found_inside_and_beside_the_rope_parameters) {
  const auto phi = with(llama_config(), {{"model_type", "phi3"}});
  const auto inside = [&](const char* object) {
    return with(phi, {{object, {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}}});
  };
  EXPECT_EQ(read(phi).layers[0].attention()->rope.dims, 16);
  EXPECT_EQ(read(with(phi, {{"partial_rotary_factor", 0.5}})).layers[0].attention()->rope.dims, 8);
  EXPECT_EQ(read(inside("rope_parameters")).layers[0].attention()->rope.dims, 8);
  EXPECT_EQ(read(inside("rope_scaling")).layers[0].attention()->rope.dims, 8);
  EXPECT_EQ(read(with(inside("rope_parameters"), {{"partial_rotary_factor", 0.25}}))
                .layers[0]
                .attention()
                ->rope.dims,
            8);
}

TEST(Config, a_sparse_config_gets_the_familys_own_defaults) {
  const auto of = [](const char* type) { return with(llama_config(), {{"model_type", type}}); };
  auto gemma = of("gemma3_text");
  for (const char* key : {"head_dim", "num_attention_heads", "num_key_value_heads", "vocab_size"})
    gemma.erase(key);
  const nn::Config c = read(gemma);
  EXPECT_EQ(c.layers[0].attention()->rope.theta, 1e4);
  EXPECT_EQ(c.layers[0].attention()->sliding_window, 4096);
  EXPECT_EQ(c.attention()->head_dim, 256);
  EXPECT_EQ(c.attention()->n_kv_heads, 4);
  EXPECT_EQ(c.vocab_size, 262208);
  EXPECT_EQ(c.attention()->scale, 0.0625F);
  EXPECT_EQ(read(with(gemma, {{"num_hidden_layers", 6}})).layers[5].attention()->rope.theta, 1e6);
  EXPECT_EQ(read(of("smollm3")).layers[0].attention()->rope.theta, 2e6);
  EXPECT_EQ(read(of("mistral")).layers[0].attention()->sliding_window, 4096);
  EXPECT_EQ(read(with(of("mistral"), {{"sliding_window", nullptr}}))
                .layers[0]
                .attention()
                ->sliding_window,
            0);
  EXPECT_EQ(read(of("qwen3")).layers[0].attention()->sliding_window, 0);
}

TEST(Config, a_model_that_sees_has_its_text_part_read) {
  auto text = llama_config();
  text["model_type"] = "gemma3_text";
  text.erase("vocab_size");
  const nlohmann::json whole{{"model_type", "gemma3"},
                             {"text_config", text},
                             {"vision_config", {{"hidden_size", 9}, {"layer_norm_eps", 1e-6}}},
                             {"vocab_size", 99}};
  const nn::Config c = read(whole);
  EXPECT_EQ(c.hidden_size, 64);
  EXPECT_EQ(c.vocab_size, 99) << "what the text part lacks stands at the top";
  text["attention_multiplier"] = 2.0;
  EXPECT_NE(refusal(with(whole, {{"text_config", text}})).find("attention_multiplier"),
            std::string::npos);
}

TEST(Config, keys_that_change_numbers_and_that_nobody_asks_for_are_refused) {
  const std::vector<std::pair<const char*, nlohmann::json>> telling{
      {"residual_multiplier", 0.22},  {"attention_multiplier", 1.0},
      {"logits_scaling", 8},          {"rope_interleave", true},
      {"use_parallel_attn", true},    {"clip_qkv", 8.0},
      {"attention_chunk_size", 8192}, {"layer_norm_eps", 1e-5},
      {"routed_scaling_factor", 2.5}};
  for (const auto& [key, value] : telling) {
    const std::string message = refusal(with(llama_config(), {{key, value}}));
    EXPECT_NE(message.find(std::string("config.json: ") + key), std::string::npos) << message;
  }
  const nlohmann::json unknown{
      {"rope_scaling", {{"rope_type", "linear"}, {"factor", 2.0}, {"beta", 0.1}}}};
  EXPECT_NE(refusal(with(llama_config(), unknown)).find("rope_scaling/beta"), std::string::npos);
}

TEST(Config, keys_that_change_nothing_are_passed_over) {
  EXPECT_EQ(refusal(with(llama_config(), {{"residual_multiplier", 1.0},
                                          {"clip_qkv", nullptr},
                                          {"use_sliding_window", false},
                                          {"router_aux_loss_coef", 0.001},
                                          {"initializer_range", 0.02},
                                          {"attention_bias", true},
                                          {"transformers_version", "4.57.0"},
                                          {"rope_scaling", nullptr}})),
            "");
  const nlohmann::json linear{{"rope_type", "linear"}, {"factor", 2.0}};
  EXPECT_EQ(refusal(with(llama_config(), {{"rope_scaling", linear}, {"rope_parameters", linear}})),
            "");
  const nlohmann::json other{{"rope_type", "linear"}, {"factor", 4.0}};
  EXPECT_NE(refusal(with(llama_config(), {{"rope_scaling", other}, {"rope_parameters", linear}})),
            "");
}

nn::PublishedQuantization published(nlohmann::json quantization) {
  const auto config = with(llama_config(), {{"quantization_config", std::move(quantization)}});
  return read_published_quantization(Source::from_config(config, "config.json"));
}

TEST(Config, what_others_quantized_is_read_with_what_the_tensors_do_not_say) {
  using Method = nn::PublishedQuantization::Method;
  EXPECT_EQ(published({{"bits", 4}, {"group_size", 64}}).method, Method::none);  // MLX's
  EXPECT_EQ(published({{"quant_method", "mxfp4"}}).method, Method::none);        // gpt-oss
  const auto first =
      published({{"quant_method", "gptq"}, {"bits", 4}, {"group_size", 128}, {"desc_act", true}});
  EXPECT_TRUE(first.method == Method::gptq && first.zeros_less_one && first.needs_order);
  EXPECT_EQ(first.schemes.at(0).group_size, 128);
  EXPECT_FALSE(
      published({{"quant_method", "gptq"}, {"checkpoint_format", "gptq_v2"}}).zeros_less_one);
  const auto blocks = published({{"quant_method", "fp8"}, {"weight_block_size", {64, 128}}});
  EXPECT_EQ(blocks.block_rows, 64);
  EXPECT_EQ(blocks.schemes.at(0).group_size, 128);
}

TEST(Config, what_may_change_weights_in_ways_not_known_is_refused_by_name) {
  const auto refused = [](const nlohmann::json& quantization, std::string_view named) {
    try {
      published(quantization);
      ADD_FAILURE() << quantization;
    } catch (const Error& error) {
      EXPECT_NE(std::string_view(error.what()).find(named), std::string_view::npos) << error.what();
      EXPECT_EQ(std::string_view(error.what()).find('\n'), std::string_view::npos);
    }
  };
  refused({{"quant_method", "spqr"}}, "spqr");
  refused({{"quant_method", "gptq"}, {"rotation", "hadamard"}}, "rotation");
  refused({{"quant_method", "gptq"}, {"checkpoint_format", "marlin"}}, "marlin");
  refused({{"quant_method", "gptq"}, {"bits", "4"}}, "bits");
  refused({{"quant_method", "awq"}, {"version", "gemv"}}, "gemv");
  refused({{"quant_method", "fp8"}, {"weight_block_size", {128}}}, "weight_block_size");
  refused({{"quant_method", "fp8"}, {"weight_block_size", {0, 128}}}, "weight_block_size");
  refused({{"quant_method", "bitsandbytes"}, {"load_in_4bit", true}}, "load_in_8bit");
  refused({{"quant_method", "compressed-tensors"}, {"format", "marlin-24"}}, "marlin-24");
  refused({{"quant_method", "compressed-tensors"},
           {"config_groups", {{"group_0", {{"weights", {{"shape", 3}}}}}}}},
          "config_groups.group_0.weights.shape");
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

TEST(Registry, of_an_unknown_architecture_those_most_like_it_are_named) {
  try {
    find_family("qwen3_mae");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_STREQ(
        error.what(),
        "architecture 'qwen3_mae' is not supported; most like it are qwen3_moe, qwen2_moe, "
        "qwen35moe; all are in docs/models.md");
  }
  for (const std::string& name : architectures())
    EXPECT_NE(find_family(name).read, nullptr) << name;
}

}  // namespace
}  // namespace sluice::models
