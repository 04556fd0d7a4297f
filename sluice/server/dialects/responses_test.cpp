#include <gtest/gtest.h>

#include "sluice/server/dialects/scripted_answer.h"

namespace sluice::server {
namespace {

using namespace testing;  // NOLINT: of sluice::server

std::vector<std::string> names(const std::vector<Event>& list) {
  std::vector<std::string> names;
  for (const Event& event : list)
    names.push_back(event.name.substr(std::string("response.").size()));
  return names;
}

TEST(Responses, stream_reasoning_and_text_item_by_item) {
  const auto list = events(told(kOpenAiResponses, R"({"input":"x","stream":true})",
                                {reasoning("hm"), text("a"), text("b")}));
  EXPECT_EQ(names(list), (std::vector<std::string>{
                             "created", "in_progress", "output_item.added", "content_part.added",
                             "reasoning_text.delta", "reasoning_text.done", "content_part.done",
                             "output_item.done", "output_item.added", "content_part.added",
                             "output_text.delta", "output_text.delta", "output_text.done",
                             "content_part.done", "output_item.done", "completed"}));
  EXPECT_EQ(list[2].data.dump(),
            R"({"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":)"
            R"({"id":"rs_ID0","type":"reasoning","status":"in_progress","summary":[],"content":[],)"
            R"("encrypted_content":null}})");
  EXPECT_EQ(list[10].data.dump(),
            R"({"type":"response.output_text.delta","sequence_number":10,"item_id":"msg_ID1",)"
            R"("output_index":1,"content_index":0,"delta":"a","logprobs":[]})");
  EXPECT_EQ(list[14].data["item"].dump(),
            R"({"id":"msg_ID1","type":"message","status":"completed","role":"assistant","content":)"
            R"([{"type":"output_text","text":"ab","annotations":[],"logprobs":[]}]})");
  const Json& last = list.back().data["response"];
  EXPECT_EQ(last["status"], "completed");
  EXPECT_EQ(last["output"].size(), 2U);
  EXPECT_EQ(last["output"][1], list[14].data["item"]);
  EXPECT_EQ(last["error"], nullptr);
  EXPECT_EQ(last["usage"].dump(),
            R"({"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":5,)"
            R"("output_tokens_details":{"reasoning_tokens":2},"total_tokens":15})");
}

TEST(Responses, give_calls_the_names_by_which_the_client_knows_its_tools) {
  const char* request = R"({"input":"x","stream":true,"tools":[
      {"type":"namespace","name":"mcp__files","tools":[{"type":"function","name":"read"}]},
      {"type":"custom","name":"patch","format":{"type":"grammar","syntax":"lark","definition":"s: x"}},
      {"type":"web_search"}]})";
  const auto asked = read(kOpenAiResponses, request);
  EXPECT_EQ(asked.warnings.size(), 1U);
  const auto& tools = std::get<Ask::Chat>(asked.ask.prompt).tools;
  ASSERT_EQ(tools.size(), 2U);
  EXPECT_EQ(tools[0]["function"]["name"], "mcp__files__read");
  const auto list =
      events(told(*asked.writer, {tool_begin(0, "mcp__files__read"), arguments(0, "{}"),
                                  tool_end(0), tool_begin(1, "patch"), arguments(1, R"({"input":)"),
                                  arguments(1, R"("*** x"})"), tool_end(1)}));
  EXPECT_EQ(names(list),
            (std::vector<std::string>{
                "created", "in_progress", "output_item.added", "function_call_arguments.delta",
                "function_call_arguments.done", "output_item.done", "output_item.added",
                "custom_tool_call_input.delta", "custom_tool_call_input.done", "output_item.done",
                "completed"}));
  EXPECT_EQ(list[5].data["item"].dump(),
            R"({"id":"fc_ID0","type":"function_call","status":"completed","call_id":"call_T0",)"
            R"("name":"read","namespace":"mcp__files","arguments":"{}"})");
  EXPECT_EQ(list[9].data["item"].dump(),
            R"({"id":"ctc_ID1","type":"custom_tool_call","status":"completed","call_id":"call_T1",)"
            R"("name":"patch","input":"*** x"})");
}

TEST(Responses, are_incomplete_or_failed_where_they_are) {
  const char* request = R"({"input":"x","stream":true})";
  const auto cut = events(
      told(kOpenAiResponses, request, {text("a")}, {{.reason = engine::FinishReason::max_tokens}}));
  EXPECT_EQ(cut.back().name, "response.incomplete");
  EXPECT_EQ(cut.back().data["response"]["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(cut.back().data["response"]["output"][0]["status"], "incomplete");
  const auto whole = Json::parse(told(kOpenAiResponses, R"({"input":"x"})", {text("a")},
                                      {{.reason = engine::FinishReason::max_tokens}}));
  EXPECT_EQ(whole["output"], cut.back().data["response"]["output"]);
  const auto failed = events(told_failure(
      kOpenAiResponses, request, {text("a")},
      Refusal::context_overflow({.context = 100, .prompt_tokens = 120, .max_tokens = 0})));
  EXPECT_EQ(failed.back().name, "response.failed");
  EXPECT_EQ(failed.back().data["response"]["error"]["code"], "context_length_exceeded");
}

TEST(Responses, read_what_codex_sends_back) {
  const auto asked = read(kOpenAiResponses, R"({
    "instructions":"You are Codex","store":false,"stream":true,
    "include":["reasoning.encrypted_content"],"prompt_cache_key":"k","parallel_tool_calls":false,
    "reasoning":{"effort":"medium","summary":"auto"},"tool_choice":"auto",
    "text":{"verbosity":"low"},"client_metadata":{"a":"b"},
    "input":[
      {"type":"message","role":"developer","content":[{"type":"input_text","text":"rules"}]},
      {"type":"message","role":"user","content":[{"type":"input_text","text":"ls"}]},
      {"type":"reasoning","summary":[],"content":null,"encrypted_content":"xx"},
      {"type":"reasoning","summary":[],"content":[{"type":"reasoning_text","text":"list"}]},
      {"type":"function_call","call_id":"c1","name":"shell","arguments":"{\"cmd\":\"ls\"}"},
      {"type":"function_call","call_id":"c2","name":"read","namespace":"fs","arguments":"{}"},
      {"type":"function_call_output","call_id":"c1","output":"a.txt"},
      {"type":"function_call_output","call_id":"c2","output":[{"type":"input_text","text":"b"}]},
      {"type":"web_search_call","id":"w","action":{"query":"q"}},
      {"type":"custom_tool_call","call_id":"c3","name":"patch","input":"p"},
      {"type":"custom_tool_call_output","call_id":"c3","output":"done"}]})");
  const auto& chat = std::get<Ask::Chat>(asked.ask.prompt);
  EXPECT_EQ(chat.messages.dump(),
            R"([{"role":"system","content":"You are Codex"},{"role":"system","content":"rules"},)"
            R"({"role":"user","content":"ls"},{"role":"assistant","content":"","tool_calls":[)"
            R"({"id":"c1","type":"function","function":{"name":"shell","arguments":{"cmd":"ls"}}},)"
            R"({"id":"c2","type":"function","function":{"name":"fs__read","arguments":{}}}],)"
            R"("reasoning_content":"list"},{"role":"tool","content":"a.txt","tool_call_id":"c1"},)"
            R"({"role":"tool","content":"b","tool_call_id":"c2"},{"role":"assistant","content":"",)"
            R"("tool_calls":[{"id":"c3","type":"function","function":{"name":"patch","arguments":)"
            R"({"input":"p"}}}]},{"role":"tool","content":"done","tool_call_id":"c3"}])");
  EXPECT_FALSE(chat.tool_choice.parallel);
  EXPECT_EQ(chat.template_args["reasoning_effort"], "medium");
  EXPECT_EQ(asked.warnings.size(), 1U);
}

TEST(Responses, load_a_model_for_an_empty_input) {
  const auto asked = read(kOpenAiResponses, R"({"input":"","max_output_tokens":1})");
  EXPECT_EQ(asked.ask.job, Job::load);
  EXPECT_EQ(Json::parse(told(*asked.writer, {}))["status"], "completed");
}

TEST(Responses, go_on_with_a_conversation_that_was_kept) {
  const auto asked = read(kOpenAiResponses, R"({"instructions":"Be brief.","input":"Hi",
    "tools":[{"type":"function","name":"f","parameters":{}}]})");
  ASSERT_TRUE(asked.kept);
  asked.kept->messages = conversation_of(std::get<Ask::Chat>(asked.ask.prompt));
  const Json whole = Json::parse(
      told(*asked.writer, {reasoning("Hm."), tool_begin(0, "f"), arguments(0, "{}"), tool_end(0)}));
  EXPECT_EQ(asked.kept->response, whole);
  EXPECT_EQ(whole["store"], true);

  const auto next = read(kOpenAiResponses, R"({"instructions":"Be long.","store":false,
    "previous_response_id":"resp_ID","input":[
      {"type":"function_call_output","call_id":"call_T0","output":"1"}]})");
  EXPECT_FALSE(next.kept);
  EXPECT_EQ(next.ask.previous_response, "resp_ID");
  auto chat = std::get<Ask::Chat>(next.ask.prompt);
  go_on_with(chat, conversation_behind(*asked.kept));
  EXPECT_EQ(chat.messages.dump(),
            R"([{"role":"system","content":"Be long."},{"role":"user","content":"Hi"},)"
            R"({"role":"assistant","content":"","tool_calls":[{"id":"call_T0","type":"function",)"
            R"("function":{"name":"f","arguments":{}}}],"reasoning_content":"Hm."},)"
            R"({"role":"tool","content":"1","tool_call_id":"call_T0"}])");
}

TEST(Responses, are_kept_as_they_were_told_in_a_stream) {
  const auto asked = read(kOpenAiResponses, R"({"input":"Hi","stream":true})");
  const auto list = events(told(*asked.writer, {text("a")}));
  EXPECT_EQ(asked.kept->response, list.back().data["response"]);
}

}  // namespace
}  // namespace sluice::server
