#include <gtest/gtest.h>

#include "sluice/server/dialects/data_asks.h"
#include "sluice/server/dialects/model_info.h"
#include "sluice/server/dialects/ollama.h"

namespace sluice::server {
namespace {

ModelInfo model() {
  return {.id = "tiny",
          .created = 1700000000,
          .state = ModelInfo::State::loaded,
          .context = 2048,
          .trained_context = 8192,
          .architecture = "llama",
          .quantization = "Q4_K_M",
          .digest = "00ff",
          .file_bytes = 1000,
          .resident_bytes = 900,
          .n_parameters = 135'000'000,
          .chats = true,
          .tools = true,
          .fills_gaps = true};
}

TEST(Models, are_one_object_for_three_kinds_of_clients) {
  const Json body = Json::parse(models_body({model()}));
  EXPECT_EQ(body["object"], "list");
  EXPECT_EQ(body["models"], Json::array());  // Codex
  EXPECT_EQ(body["has_more"], false);        // Anthropic
  EXPECT_EQ(body["first_id"], "tiny");
  EXPECT_EQ(body["data"][0]["max_model_len"], 2048);
  EXPECT_EQ(body["data"][0]["meta"]["n_ctx"], 2048);
  EXPECT_EQ(body["data"][0]["created_at"], "2023-11-14T22:13:20.000000Z");
  EXPECT_EQ(Json::parse(models_body({}))["first_id"], nullptr);
}

TEST(Models, are_told_in_the_words_that_lm_studios_readers_know) {
  const Json body = Json::parse(lmstudio_models_body({model()}))["data"][0];
  EXPECT_EQ(body["type"], "llm");
  EXPECT_EQ(body["compatibility_type"], "gguf");
  EXPECT_EQ(body["state"], "loaded");
  EXPECT_EQ(body["loaded_context_length"], 2048);
  EXPECT_EQ(body["capabilities"], Json::array({"tool_use"}));
}

TEST(Models, are_told_as_ollama_tells_them) {
  const Json tag = Json::parse(ollama_tags_body({model()}))["models"][0];
  EXPECT_EQ(tag["details"]["parameter_size"], "135M");
  EXPECT_EQ(tag["details"]["families"], Json::array({"llama"}));
  EXPECT_EQ(Json::parse(ollama_ps_body({model()}))["models"][0]["context_length"], 2048);
  ModelInfo unloaded = model();
  unloaded.state = ModelInfo::State::unloaded;
  EXPECT_EQ(ollama_ps_body({unloaded}), R"({"models":[]})");
  const Json show = Json::parse(ollama_show_body(model()));
  EXPECT_EQ(show["model_info"]["llama.context_length"], 2048);
  EXPECT_EQ(show["capabilities"], Json::array({"completion", "tools", "insert"}));
  EXPECT_NE(show["template"].get<std::string>().find(".Suffix"), std::string::npos);
  EXPECT_EQ(show["parameters"], "num_ctx 2048");
  EXPECT_EQ(without_latest("tiny:latest"), "tiny");
}

TEST(Models, tell_llama_servers_clients_their_context) {
  EXPECT_EQ(Json::parse(llama_props_body(model(), 4))["default_generation_settings"]["n_ctx"],
            2048);
}

TEST(Durations, are_gos_or_seconds) {
  EXPECT_EQ(parse_duration("5m"), 300);
  EXPECT_EQ(parse_duration("1h30m"), 5400);
  EXPECT_EQ(parse_duration("-1"), -1);
  EXPECT_EQ(parse_duration("1.5s"), 1.5);
  EXPECT_EQ(parse_duration("300"), 300);
  for (const char* wrong : {"", "-", "m", "5x", "5m3", "1e400s", "nan", "inf"}) {
    EXPECT_FALSE(parse_duration(wrong)) << wrong;
  }
}

TEST(Embeddings, are_little_endian_floats_in_base64_where_that_is_asked_for) {
  const auto ask = read_openai_embeddings(
      Json::parse(R"({"model":"m","input":["a",[1,2]],"encoding_format":"base64"})"), {});
  ASSERT_EQ(ask.inputs.size(), 2U);
  const Json body = Json::parse(embeddings_body(ask, "m", {{1.0F, -2.0F}, {0.5F}}, {}));
  EXPECT_EQ(body["data"][0]["embedding"], "AACAPwAAAMA=");
  EXPECT_EQ(body["data"][1]["embedding"], "AAAAPw==");
  const auto plain = read_openai_embeddings(Json::parse(R"({"input":"a"})"), {});
  EXPECT_EQ(Json::parse(embeddings_body(plain, "m", {{1.0F, -2.0F}}, {}))["data"][0]["embedding"],
            Json::array({1.0, -2.0}));
  const auto ollama = read_ollama_embeddings(Json::parse(R"({"prompt":"a"})"), {});
  EXPECT_EQ(embeddings_body(ollama, "m", {{1.0F}}, {}), R"({"embedding":[1.0]})");
}

TEST(Tokens, are_told_with_their_pieces_where_that_is_asked_for) {
  const std::vector<ScoredToken> tokens{{.id = 3, .bytes = "a"}};
  EXPECT_EQ(tokenize_body(read_tokenize(Json::parse(R"({"content":"a"})"), {}), tokens, 9),
            R"({"tokens":[3],"count":1,"max_model_len":9})");
  EXPECT_EQ(tokenize_body(read_tokenize(Json::parse(R"({"prompt":"a","with_pieces":true})"), {}),
                          tokens, 9),
            R"({"tokens":[{"id":3,"piece":"a"}],"count":1,"max_model_len":9})");
  EXPECT_EQ(read_detokenize(Json::parse(R"({"tokens":[1,2]})"), {}).tokens.size(), 2U);
}

}  // namespace
}  // namespace sluice::server
