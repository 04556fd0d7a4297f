#include <gtest/gtest.h>

#include "sluice/server/dialects/scripted_answer.h"

// Requests in the shapes that real clients send them.
namespace sluice::server {
namespace {

using namespace testing;  // NOLINT: of sluice::server
using Mode = ToolChoice::Mode;

const Ask::Chat& chat_of(const Asked& asked) { return std::get<Ask::Chat>(asked.ask.prompt); }

TEST(ClaudeCode, is_understood) {
  const auto asked = read(kAnthropicMessages, R"({
    "model":"claude-sonnet-4-5","max_tokens":32000,"stream":true,"temperature":1,
    "system":[
      {"type":"text","text":"x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli; cch=1a2b3;"},
      {"type":"text","text":"You are Claude Code.","cache_control":{"type":"ephemeral","ttl":"1h"}}],
    "messages":[
      {"role":"user","content":[{"type":"text","text":"hello"}]},
      {"role":"assistant","content":[
        {"type":"thinking","thinking":"look","signature":""},{"type":"text","text":"Looking."},
        {"type":"tool_use","id":"toolu_1","name":"Read","input":{"path":"a"}}]},
      {"role":"user","content":[
        {"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"A"}],"is_error":false},
        {"type":"text","text":"go on","cache_control":{"type":"ephemeral"}}]},
      {"role":"system","content":"skills: none"}],
    "tools":[{"name":"Read","description":"reads","input_schema":{"type":"object"},"cache_control":null,
              "eager_input_streaming":true},
             {"type":"web_search_20250305","name":"web_search","max_uses":8}],
    "thinking":{"type":"adaptive"},"output_config":{"effort":"high"},
    "context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},
    "metadata":{"user_id":"{\"device\":1}"}})");
  EXPECT_EQ(
      chat_of(asked).messages.dump(),
      R"([{"role":"system","content":"x-anthropic-billing-header: cc_version=2.1; cc_entrypoint=cli; )"
      R"(cch=00000;\nYou are Claude Code."},{"role":"user","content":"hello"},)"
      R"({"role":"assistant","content":"Looking.","reasoning_content":"look","tool_calls":[)"
      R"({"id":"toolu_1","type":"function","function":{"name":"Read","arguments":{"path":"a"}}}]},)"
      R"({"role":"tool","content":"A","tool_call_id":"toolu_1"},{"role":"user","content":"go on"},)"
      R"({"role":"system","content":"skills: none"}])");
  EXPECT_EQ(
      chat_of(asked).tools.dump(),
      R"([{"type":"function","function":{"name":"Read","description":"reads","parameters":{"type":"object"}}}])");
  EXPECT_EQ(asked.warnings.size(), 1U);
  EXPECT_FALSE(chat_of(asked).think.has_value());
  EXPECT_EQ(asked.ask.max_tokens, 32000);
  EXPECT_TRUE(asked.ask.stream);
}

TEST(ClaudeCode, counts_without_a_limit_for_the_answer) {
  const auto asked =
      read(kAnthropicTokens, R"({"model":"c","messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(asked.ask.job, Job::count);
  EXPECT_EQ(refusal_of(kAnthropicMessages, R"({"messages":[{"role":"user","content":"x"}]})").param,
            "max_tokens");
}

TEST(Anthropic, goes_on_with_the_assistants_last_words) {
  EXPECT_TRUE(chat_of(read(kAnthropicMessages, R"({"max_tokens":1,"messages":[
      {"role":"user","content":"x"},{"role":"assistant","content":"{"}]})"))
                  .continues);
}

TEST(Anthropic, has_every_choice_of_tools) {
  const auto choice = [](const std::string& given) {
    return chat_of(read(kAnthropicMessages,
                        R"({"max_tokens":1,"messages":[{"role":"user","content":"x"}],)"
                        R"("tools":[{"name":"f","input_schema":{}}],"tool_choice":)" +
                            given + "}"))
        .tool_choice;
  };
  EXPECT_EQ(choice(R"({"type":"any"})").mode, Mode::required);
  EXPECT_EQ(choice(R"({"type":"none"})").mode, Mode::none);
  EXPECT_EQ(choice(R"({"type":"tool","name":"f"})").name, "f");
  EXPECT_FALSE(choice(R"({"type":"auto","disable_parallel_tool_use":true})").parallel);
}

TEST(OpenWebUi, is_understood_in_both_its_dialects) {
  const auto chat = read(kOpenAiChat, R"({
    "model":"m","stream":true,"stream_options":{"include_usage":true},"temperature":0.7,"top_p":0.9,
    "min_p":0.05,"max_tokens":100,"frequency_penalty":0.1,"presence_penalty":0,"seed":3,
    "stop":["A","B"],"logit_bias":{"5":-100},"reasoning_effort":"low","response_format":{"type":"text"},
    "metadata":{"chat_id":"c"},"user":null,
    "messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"x"}]}]})");
  EXPECT_EQ(chat.ask.sampling.min_p, 0.05);
  EXPECT_EQ(chat.ask.sampling.logit_bias.at(5), -100);
  EXPECT_EQ(chat.ask.stop, (std::vector<std::string>{"A", "B"}));
  EXPECT_EQ(chat.ask.seed, 3U);
  EXPECT_EQ(chat_of(chat).think, true);

  const auto ollama = read(kOllamaChat, R"({
    "model":"m:latest","messages":[{"role":"user","content":"x"}],"stream":true,"keep_alive":"5m",
    "think":false,"format":"json","metadata":{"a":1},"tools":[],
    "options":{"num_ctx":4096,"num_predict":128,"num_gpu":99,"temperature":0.5,"stop":["Z"],"mirostat":0}})");
  EXPECT_EQ(ollama.ask.context, 4096);
  EXPECT_EQ(ollama.ask.max_tokens, 128);
  EXPECT_EQ(ollama.ask.keep_alive_seconds, 300);
  EXPECT_EQ(ollama.ask.format.kind, Format::Kind::json);
  EXPECT_EQ(chat_of(ollama).think, false);
}

TEST(OpenWebUi, unloads) {
  EXPECT_EQ(read(kOllamaGenerate, R"({"model":"m","keep_alive":0,"prompt":""})").ask.job,
            Job::unload);
}

TEST(Zed, may_send_null_for_everything) {
  const auto asked = read(kOllamaChat, R"({
    "model":"m","messages":[{"role":"user","content":"x","images":null}],"stream":true,
    "keep_alive":-1,"options":{"num_ctx":8192,"stop":null,"temperature":null},"think":null,"tools":[]})");
  EXPECT_EQ(asked.ask.keep_alive_seconds, -1);
  EXPECT_FALSE(chat_of(asked).think.has_value());
}

TEST(Cline, sends_the_names_of_tools_with_their_results) {
  const auto asked = read(kOllamaChat, R"({"model":"m","stream":true,"messages":[
    {"role":"user","content":"x"},
    {"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},
    {"role":"tool","content":"1","tool_name":"f"}],
    "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}]})");
  EXPECT_EQ(chat_of(asked).messages[2]["name"], "f");
  EXPECT_EQ(chat_of(asked).messages[1]["tool_calls"][0]["function"]["arguments"]["a"], 1);
}

TEST(Continue, fills_gaps_through_ollama) {
  const auto asked =
      read(kOllamaGenerate, R"({"model":"m","prompt":"def f(","suffix":"\n","raw":true,
    "keep_alive":1800,"options":{"num_predict":64,"stop":["<end>"]},"stream":true})");
  const auto& text = std::get<Ask::Text>(asked.ask.prompt);
  EXPECT_EQ(std::get<std::string>(text.prompt), "def f(");
  EXPECT_EQ(text.suffix, "\n");
  EXPECT_TRUE(text.raw);
}

TEST(Continue, completes_through_llama_server) {
  const auto asked =
      read(kLlamaCompletion, R"({"prompt":"x","n_predict":128,"stream":true,"frequency_penalty":0,
    "presence_penalty":0,"min_p":0.1,"mirostat":0,"stop":null,"top_k":40,"top_p":0.9,"temperature":0.2})");
  EXPECT_EQ(asked.ask.sampling.top_k, 40);
  EXPECT_EQ(asked.ask.max_tokens, 128);
}

TEST(LlamaVim, fills_gaps) {
  const auto asked = read(kLlamaInfill, R"({"id_slot":0,"input_prefix":"a\n","input_suffix":"\nz",
    "input_extra":[{"filename":"b.c","text":"int b;"}],"prompt":"  x","n_predict":128,"n_indent":2,
    "top_k":40,"top_p":0.9,"samplers":["top_k","top_p","infill"],"stream":false,"cache_prompt":true,
    "t_max_prompt_ms":500,"t_max_predict_ms":1000,"response_fields":["content"]})");
  const auto& text = std::get<Ask::Text>(asked.ask.prompt);
  EXPECT_EQ(std::get<std::string>(text.prompt), "a\n  x");
  EXPECT_EQ(text.files.at(0).name, "b.c");
  EXPECT_EQ(asked.ask.max_decode_ms, 1000);
  EXPECT_EQ(read(kLlamaInfill, R"({"input_prefix":"a","n_predict":0,"response_fields":[""]})")
                .ask.max_tokens,
            0);
}

TEST(LangChain, names_the_tool_that_must_be_called) {
  const auto choice = [](const std::string& given) {
    return chat_of(read(kOpenAiChat, R"({"messages":[{"role":"user","content":"x"}],"tools":[
      {"type":"function","function":{"name":"f","parameters":{"$defs":{"A":{}},"type":"object"},"strict":true}},
      {"type":"function","function":{"name":"g"}}],"tool_choice":)" +
                                         given + "}"));
  };
  EXPECT_EQ(choice(R"({"type":"function","function":{"name":"f"}})").tool_choice.name, "f");
  EXPECT_EQ(choice(R"({"type":"function","name":"g"})").tool_choice.mode, Mode::named);
  EXPECT_EQ(choice(R"("required")").tool_choice.mode, Mode::required);
  const auto allowed =
      choice(R"({"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[
      {"type":"function","function":{"name":"g"}}]}})");
  EXPECT_EQ(allowed.tool_choice.mode, Mode::required);
  EXPECT_EQ(allowed.tools.size(), 1U);
  EXPECT_EQ(choice(R"("auto")").tools[1]["function"]["parameters"].dump(),
            R"({"type":"object","properties":{}})");
}

TEST(OpenAiSdk, parses_into_a_schema) {
  const auto asked =
      read(kOpenAiChat, R"({"model":"m","messages":[{"role":"developer","content":"d"}],
    "response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,
      "schema":{"type":"object","properties":{"b":{},"a":{}}}}},
    "max_completion_tokens":5,"max_tokens":9,"store":false,"service_tier":"auto","n":2})");
  EXPECT_EQ(asked.ask.format.kind, Format::Kind::json_schema);
  EXPECT_EQ(asked.ask.format.definition, R"({"type":"object","properties":{"b":{},"a":{}}})");
  EXPECT_EQ(asked.ask.max_tokens, 5);
  EXPECT_EQ(asked.ask.n, 2);
  EXPECT_EQ(chat_of(asked).messages[0]["role"], "system");
}

TEST(OpenAiSdk, gives_what_the_answer_may_be_like) {
  const auto asked = read(kOpenAiChat, R"({"messages":[{"role":"user","content":"x"}],
    "prediction":{"type":"content","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}})");
  EXPECT_EQ(asked.ask.prediction, "a\nb");
}

TEST(OpenAiSdk, hears_which_field_is_wrong) {
  const auto param = [](const std::string& fields) {
    return refusal_of(kOpenAiChat, R"({"messages":[{"role":"user","content":"x"}],)" + fields + "}")
        .param;
  };
  EXPECT_EQ(param(R"("audio":{"voice":"v"})"), "audio");
  EXPECT_EQ(param(R"("functions":[])"), "functions");
  EXPECT_EQ(param(R"("prediction":{"type":"content","content":3})"), "prediction.content");
  EXPECT_EQ(param(R"("prediction":{"type":"guess"})"), "prediction.type");
  EXPECT_EQ(param(R"("frobnicate":1)"), "frobnicate");
  EXPECT_EQ(param(R"("temperature":"hot")"), "temperature");
  EXPECT_EQ(param(R"("top_logprobs":3)"), "top_logprobs");
  EXPECT_EQ(param(R"("logprobs":true,"top_logprobs":21)"), "top_logprobs");
  EXPECT_EQ(param(R"("n":1000)"), "n");
  EXPECT_EQ(param(R"("best_of":2)"), "best_of");
  EXPECT_EQ(param(R"("logit_bias":{"x":1})"), "logit_bias");
  EXPECT_EQ(param(R"("stop":["a",1])"), "stop[1]");
  EXPECT_EQ(param(R"("tool_choice":"required")"), "tool_choice");
  EXPECT_EQ(param(R"("tools":[{"type":"mcp","server_url":"http://x"}])"), "tools[0]");
  EXPECT_EQ(param(R"("tools":[{"type":"function","function":{"name":"a b"}}])"),
            "tools[0].function.name");
  EXPECT_EQ(param(R"("response_format":{"type":"xml"})"), "response_format.type");
  EXPECT_EQ(refusal_of(kOpenAiChat, R"({"messages":[{"role":"user","content":[
      {"type":"image_url","image_url":{"url":"http://x/y.png"}}]}]})")
                .param,
            "messages[0].content[0]");
  EXPECT_EQ(refusal_of(kOpenAiResponses, R"({"input":"x","background":true})").param, "background");
  EXPECT_EQ(refusal_of(kOllamaChat, R"({"options":{"tfs_z":0.5}})").param, "options.tfs_z");
}

TEST(LmEval, sends_tokens_and_wants_the_prompts_log_probabilities) {
  const auto asked = read(kOpenAiCompletions, R"({"model":"m","prompt":[[1,2,3]],"temperature":0,
    "max_tokens":0,"logprobs":1,"seed":1234,"echo":true})");
  const auto& text = std::get<Ask::Text>(asked.ask.prompt);
  EXPECT_EQ(std::get<std::vector<text::Token>>(text.prompt), (std::vector<text::Token>{1, 2, 3}));
  EXPECT_TRUE(text.echo);
  EXPECT_EQ(asked.ask.max_tokens, 0);
  try {
    check_token_ids(asked.ask, 3);
    FAIL();
  } catch (const Refusal& refusal) {
    EXPECT_EQ(refusal.param, "prompt[2]");
  }
}

TEST(Overflow, is_worded_so_that_each_agent_knows_it) {
  const auto refusal =
      Refusal::context_overflow({.context = 100, .prompt_tokens = 120, .max_tokens = 10});
  EXPECT_EQ(
      openai_error(refusal, ""),
      R"({"error":{"message":"This model's maximum context length is 100 tokens. However, you )"
      R"(requested 130 tokens (120 in the messages, 10 in the completion). Please reduce the length )"
      R"(of the messages or completion.","type":"invalid_request_error","param":null,)"
      R"("code":"context_length_exceeded"}})");
  EXPECT_EQ(anthropic_error(refusal, "req_1"),
            R"({"type":"error","error":{"type":"invalid_request_error","message":)"
            R"("prompt is too long: 120 tokens > 100 maximum"},"request_id":"req_1"})");
}

}  // namespace
}  // namespace sluice::server
