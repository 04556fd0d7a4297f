#include <gtest/gtest.h>

#include "sluice/server/dialects/scripted_answer.h"

// What each writer says of a scripted answer, to the letter: clients were seen to break on less.
namespace sluice::server {
namespace {

using namespace testing;  // NOLINT: of sluice::server
using Reason = engine::FinishReason;

const Ending kCalled{.called_tools = true};

const char* kChat = R"({"messages":[{"role":"user","content":"x"}],"stream":true})";

std::string chunk(const std::string& choices, const std::string& rest = "") {
  return R"(data: {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1700000000,)"
         R"("model":"m","choices":[)" +
         choices + "]" + rest + "}\n\n";
}

std::string delta(const std::string& delta, const std::string& finish = "null", int index = 0,
                  const std::string& logprobs = "null") {
  return chunk(R"({"index":)" + std::to_string(index) + R"(,"delta":)" + delta + R"(,"logprobs":)" +
               logprobs + R"(,"finish_reason":)" + finish + "}");
}

TEST(OpenAiChatStream, tells_reasoning_then_text) {
  EXPECT_EQ(told(kOpenAiChat, kChat, {reasoning("hm"), text("hi"), text("")}),
            delta(R"({"role":"assistant","content":""})") + delta(R"({"reasoning_content":"hm"})") +
                delta(R"({"content":"hi"})") + delta("{}", "\"stop\"") + "data: [DONE]\n\n");
}

TEST(OpenAiChatStream, gives_each_call_its_name_once_and_arguments_even_where_there_are_none) {
  EXPECT_EQ(
      told(kOpenAiChat, kChat, two_calls(), {kCalled}),
      delta(R"({"role":"assistant","content":""})") +
          delta(
              R"({"tool_calls":[{"index":0,"id":"call_T0","type":"function","function":{"name":"f","arguments":""}}]})") +
          delta(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]})") +
          delta(R"({"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]})") +
          delta(
              R"({"tool_calls":[{"index":1,"id":"call_T1","type":"function","function":{"name":"g","arguments":""}}]})") +
          delta(R"({"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]})") +
          delta("{}", "\"tool_calls\"") + "data: [DONE]\n\n");
}

TEST(OpenAiChatStream, ends_with_the_usage_if_that_is_wanted) {
  const auto list = events(told(
      kOpenAiChat,
      R"({"messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}})",
      {text("a")}, {{.reason = Reason::max_tokens}}));
  ASSERT_EQ(list.size(), 5U);
  EXPECT_EQ(list[2].data["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(list[3].data["choices"], Json::array());
  EXPECT_EQ(list[3].data["object"], "chat.completion.chunk");
  EXPECT_EQ(
      list[3].data["usage"].dump(),
      R"({"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":2,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}})");
  EXPECT_EQ(list[3].data["timings"]["prompt_n"], 6);
  EXPECT_EQ(list[3].data["timings"]["predicted_per_second"], 5.0);
}

TEST(OpenAiChatStream, shows_two_answers_in_order_and_log_probabilities) {
  const auto out = told(
      kOpenAiChat,
      R"({"messages":[{"role":"user","content":"x"}],"stream":true,"n":2,"logprobs":true,"top_logprobs":2})",
      {text("b", 1), scored()}, {{.choice = 1}, {.choice = 0}});
  EXPECT_EQ(
      out,
      delta(R"({"role":"assistant","content":""})") +
          delta(R"({"role":"assistant","content":""})", "null", 1) +
          delta(R"({"content":"b"})", "null", 1) +
          delta(
              R"({"content":"a"})", "null", 0,
              R"({"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[{"token":"a","logprob":-0.5,"bytes":[97]},{"token":"b","logprob":-1.5,"bytes":[98]}]}],"refusal":null})") +
          delta("{}", "\"stop\"", 1) + delta("{}", "\"stop\"") + "data: [DONE]\n\n");
}

TEST(OpenAiChatStream, tells_a_failure_as_an_event_of_its_own) {
  EXPECT_EQ(
      told_failure(kOpenAiChat, kChat, {}, {500, "it broke"}),
      delta(R"({"role":"assistant","content":""})") +
          R"(data: {"error":{"message":"it broke","type":"server_error","param":null,"code":null}})"
          "\n\n");
}

TEST(OpenAiChat, tells_a_whole_answer) {
  const auto body = Json::parse(
      told(kOpenAiChat, R"({"messages":[{"role":"user","content":"x"}]})", two_calls(), {kCalled}));
  EXPECT_EQ(body["id"], "chatcmpl-ID");
  EXPECT_EQ(
      body["choices"].dump(),
      R"([{"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[)"
      R"({"id":"call_T0","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},)"
      R"({"id":"call_T1","type":"function","function":{"name":"g","arguments":"{}"}}]},)"
      R"("logprobs":null,"finish_reason":"tool_calls"}])");
}

TEST(OpenAiCompletions, lists_log_probabilities_in_the_form_they_always_had) {
  Piece first = text("\xC3\xA9");
  first.tokens = {{.id = 1, .bytes = "\xC3"},
                  {.id = 2,
                   .bytes = "\xA9",
                   .logprob = -1.0F,
                   .top = {{.id = 3, .bytes = "x", .logprob = -2.0F}}}};
  const auto body = Json::parse(
      told(kOpenAiCompletions, R"({"prompt":"x","logprobs":1,"echo":true})", {first, scored()}));
  EXPECT_EQ(body["choices"][0]["text"],
            "\xC3\xA9"
            "a");
  EXPECT_EQ(body["choices"][0]["logprobs"].dump(),
            R"({"tokens":["bytes:\\xc3","bytes:\\xa9","a"],"token_logprobs":[null,-1.0,-0.5],)"
            R"("top_logprobs":[null,{"x":-2.0},{"a":-0.5,"b":-1.5}],"text_offset":[0,1,1]})");
}

TEST(OpenAiCompletions, count_the_prompt_that_they_repeat_into_the_offsets) {
  const auto whole = Json::parse(told(
      kOpenAiCompletions, R"({"prompt":"x","logprobs":1,"echo":true})", {text("xyz"), scored()}));
  EXPECT_EQ(whole["choices"][0]["logprobs"]["text_offset"], Json::array({3}));
  const auto streamed =
      events(told(kOpenAiCompletions, R"({"prompt":"x","logprobs":1,"echo":true,"stream":true})",
                  {text("xyz"), scored()}));
  EXPECT_EQ(streamed[1].data["choices"][0]["logprobs"]["text_offset"], Json::array({3}));
}

TEST(OpenAiCompletions, stream_text_and_end) {
  EXPECT_EQ(
      told(kOpenAiCompletions, R"({"prompt":"x","stream":true})", {text("a")}),
      R"(data: {"id":"cmpl-ID","object":"text_completion","created":1700000000,"model":"m","choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null}]})"
      "\n\n"
      R"(data: {"id":"cmpl-ID","object":"text_completion","created":1700000000,"model":"m","choices":[{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]})"
      "\n\ndata: [DONE]\n\n");
}

const char* kMessages =
    R"({"model":"c","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]})";

std::string event(const std::string& name, const std::string& rest) {
  return "event: " + name + "\ndata: {\"type\":\"" + name + "\"" + rest + "}\n\n";
}

const std::string kMessageStart =
    event("message_start",
          R"(,"message":{"id":"msg_ID","type":"message","role":"assistant","model":"m",)"
          R"("content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":6,)"
          R"("cache_creation_input_tokens":0,"cache_read_input_tokens":4,"output_tokens":0}})") +
    event("ping", "");

std::string message_end(const std::string& reason, const std::string& sequence = "null") {
  return event("message_delta",
               R"(,"delta":{"stop_reason":")" + reason + R"(","stop_sequence":)" + sequence +
                   R"(},"usage":{"input_tokens":6,"cache_creation_input_tokens":0,)"
                   R"("cache_read_input_tokens":4,"output_tokens":5})") +
         event("message_stop", "");
}

TEST(AnthropicStream, opens_a_new_block_for_each_kind_of_piece) {
  EXPECT_EQ(
      told(kAnthropicMessages, kMessages, {reasoning("hm"), text("a"), text("b"), reasoning("no")},
           {{.reason = Reason::stop_string, .stop_string = "END"}}),
      kMessageStart +
          event("content_block_start",
                R"(,"index":0,"content_block":{"type":"thinking","thinking":"","signature":""})") +
          event("content_block_delta",
                R"(,"index":0,"delta":{"type":"thinking_delta","thinking":"hm"})") +
          event("content_block_delta",
                R"(,"index":0,"delta":{"type":"signature_delta","signature":""})") +
          event("content_block_stop", R"(,"index":0)") +
          event("content_block_start", R"(,"index":1,"content_block":{"type":"text","text":""})") +
          event("content_block_delta", R"(,"index":1,"delta":{"type":"text_delta","text":"a"})") +
          event("content_block_delta", R"(,"index":1,"delta":{"type":"text_delta","text":"b"})") +
          event("content_block_stop", R"(,"index":1)") +
          event("content_block_start",
                R"(,"index":2,"content_block":{"type":"thinking","thinking":"","signature":""})") +
          event("content_block_delta",
                R"(,"index":2,"delta":{"type":"thinking_delta","thinking":"no"})") +
          event("content_block_delta",
                R"(,"index":2,"delta":{"type":"signature_delta","signature":""})") +
          event("content_block_stop", R"(,"index":2)") + message_end("stop_sequence", "\"END\""));
}

TEST(AnthropicStream, tells_two_calls) {
  EXPECT_EQ(
      told(kAnthropicMessages, kMessages, two_calls(), {kCalled}),
      kMessageStart +
          event(
              "content_block_start",
              R"(,"index":0,"content_block":{"type":"tool_use","id":"toolu_T0","name":"f","input":{}})") +
          event("content_block_delta",
                R"(,"index":0,"delta":{"type":"input_json_delta","partial_json":"{\"a\""})") +
          event("content_block_delta",
                R"(,"index":0,"delta":{"type":"input_json_delta","partial_json":":1}"})") +
          event("content_block_stop", R"(,"index":0)") +
          event(
              "content_block_start",
              R"(,"index":1,"content_block":{"type":"tool_use","id":"toolu_T1","name":"g","input":{}})") +
          event("content_block_stop", R"(,"index":1)") + message_end("tool_use"));
}

TEST(AnthropicStream, tells_a_failure) {
  const auto list = events(told_failure(kAnthropicMessages, kMessages, {text("a")}, {503, "full"}));
  EXPECT_EQ(list.back().name, "error");
  EXPECT_EQ(list.back().data.dump(),
            R"({"type":"error","error":{"type":"overloaded_error","message":"full"}})");
}

TEST(Anthropic, tells_a_whole_answer_and_counts) {
  const auto body = Json::parse(
      told(kAnthropicMessages, R"({"max_tokens":9,"messages":[{"role":"user","content":"x"}]})",
           {reasoning("hm"), text("a"), tool_begin(0, "f"), arguments(0, "{\"b\":2}"), tool_end(0)},
           {kCalled}));
  EXPECT_EQ(body["content"].dump(),
            R"([{"type":"thinking","thinking":"hm","signature":""},{"type":"text","text":"a"},)"
            R"({"type":"tool_use","id":"toolu_T0","name":"f","input":{"b":2}}])");
  EXPECT_EQ(body["stop_reason"], "tool_use");
  EXPECT_EQ(told(kAnthropicTokens, R"({"messages":[{"role":"user","content":"x"}]})", {}, {}),
            R"({"input_tokens":10})");
}

TEST(Ollama, streams_lines_with_whole_calls_before_the_last) {
  EXPECT_EQ(
      told(kOllamaChat, R"({"model":"m","messages":[{"role":"user","content":"x"}]})",
           {reasoning("hm"), text("a"), tool_begin(0, "f"), arguments(0, "{\"b\":"),
            arguments(0, "2}"), tool_end(0)},
           {kCalled}),
      R"({"model":"m","created_at":"2023-11-14T22:13:20.000000Z","message":{"role":"assistant","content":"","thinking":"hm"},"done":false}
{"model":"m","created_at":"2023-11-14T22:13:20.000000Z","message":{"role":"assistant","content":"a"},"done":false}
{"model":"m","created_at":"2023-11-14T22:13:20.000000Z","message":{"role":"assistant","content":"","tool_calls":[{"id":"call_T0","function":{"index":0,"name":"f","arguments":{"b":2}}}]},"done":false}
{"model":"m","created_at":"2023-11-14T22:13:20.000000Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","total_duration":1750000000,"load_duration":0,"prompt_eval_count":10,"prompt_eval_duration":500000000,"eval_count":5,"eval_duration":1000000000}
)");
}

TEST(Ollama, loads_and_unloads_without_a_prompt) {
  const auto load = read(kOllamaGenerate, R"({"model":"m"})");
  EXPECT_EQ(load.ask.job, Job::load);
  EXPECT_EQ(
      told(*load.writer, {}, {}),
      R"({"model":"m","created_at":"2023-11-14T22:13:20.000000Z","response":"","done":true,"done_reason":"load"})");
  const auto unload = read(kOllamaChat, R"({"model":"m","messages":[],"keep_alive":0})");
  EXPECT_EQ(unload.ask.job, Job::unload);
  EXPECT_EQ(Json::parse(told(*unload.writer, {}, {}))["done_reason"], "unload");
}

TEST(Ollama, tells_a_failure_as_a_line) {
  EXPECT_EQ(told_failure(kOllamaGenerate, R"({"prompt":"x"})", {}, {500, "it broke"}),
            "{\"error\":\"it broke\"}\n");
}

TEST(Llama, gives_the_keys_that_are_asked_for) {
  EXPECT_EQ(
      told(
          kLlamaInfill,
          R"({"input_prefix":"a","input_suffix":"b","response_fields":["content","timings/prompt_n",""]})",
          {text("x\n  y\nz")}),
      R"({"content":"x\n  y\nz","timings/prompt_n":6})");
  EXPECT_EQ(Json::parse(told(kLlamaInfill, R"({"input_prefix":"a","n_indent":2})",
                             {text("x\n  y\nz")}))["content"],
            "x\n  y");
}

TEST(Llama, streams_contents) {
  const auto list = events(told(kLlamaCompletion, R"({"prompt":"x","stream":true})", {text("a")},
                                {{.reason = Reason::stop_string, .stop_string = "b"}}));
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].data["content"], "a");
  EXPECT_EQ(list[0].data["stop"], false);
  EXPECT_EQ(list[1].data["stop_type"], "word");
  EXPECT_EQ(list[1].data["stopping_word"], "b");
}

TEST(LmStudio, adds_statistics_and_what_answered) {
  const auto body =
      Json::parse(told(kLmStudioChat, R"({"messages":[{"role":"user","content":"x"}],"ttl":60})",
                       {text("a")}, {{.reason = Reason::max_tokens}}));
  EXPECT_EQ(body["stats"].dump(),
            R"({"tokens_per_second":5.0,"time_to_first_token":0.75,"generation_time":1.0,)"
            R"("stop_reason":"maxPredictedTokensReached"})");
  EXPECT_TRUE(body["model_info"].contains("context_length"));
  EXPECT_EQ(body["runtime"]["name"], "sluice");
}

TEST(MistralFim, a_gap_is_filled_in_the_shape_of_a_chat) {
  const char* request = R"({"prompt":"a","suffix":"b","random_seed":7,"stream":true})";
  EXPECT_EQ(read(kMistralFim, request).ask.seed, 7U);
  const auto list = events(told(kMistralFim, request, {text("x")}));
  EXPECT_EQ(list[1].data["choices"][0]["delta"]["content"], "x");
  EXPECT_THROW((void)read(kMistralFim, R"({"prompt":["a","b"]})"), Refusal);
}

}  // namespace
}  // namespace sluice::server
