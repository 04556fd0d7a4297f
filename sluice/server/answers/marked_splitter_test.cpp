#include "sluice/server/answers/marked_splitter.h"

#include <gtest/gtest.h>

#include <random>

#include "sluice/server/answers/told.h"

namespace sluice::server {
namespace {

const Markup kAll{.think_begin = "<think>", .think_end = "</think>", .calls_tools = true};

TEST(MarkedSplitter, cuts_out_reasoning_and_calls) {
  EXPECT_EQ(told(kAll, {"<think>\nHm.\n</think>\n\nHello"}), "reasoning(Hm.)text(Hello)");
  EXPECT_EQ(told(kAll, {"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>"}),
            "call(f,{\"a\":1})");
  EXPECT_EQ(told(kAll, {"So:\n<tool_call>{\"name\":\"f\"}</tool_call>\n"
                        "<tool_call>{\"name\":\"g\"}</tool_call>"}),
            "text(So:)call(f,{})call(g,{})");
  EXPECT_EQ(told(kAll, {"[TOOL_CALLS][{\"name\":\"f\",\"arguments\":{}},{\"name\":\"g\"}]"}),
            "call(f,{})call(g,{})");
  EXPECT_EQ(told(kAll, {"[TOOL_CALLS]f[ARGS]{\"a\":[1]}[TOOL_CALLS]g{}"}),
            "call(f,{\"a\":[1]})call(g,{})");
  EXPECT_EQ(told(kAll, {"<|python_tag|>{\"name\":\"f\",\"parameters\":{\"x\":\"y\"}}"}),
            "call(f,{\"x\":\"y\"})");
  EXPECT_EQ(told(kAll, {"<tool_call><function=f>\n<parameter=a>\n7\n</parameter>\n"
                        "<parameter=b>\ntwo words\n</parameter>\n</function></tool_call>"}),
            "call(f,{\"a\":7,\"b\":\"two words\"})");
  EXPECT_EQ(
      told(kAll, {"<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n</tool_call>"}),
      "call(f,{\"a\":\"x\"})");
}

TEST(MarkedSplitter, tells_a_call_that_does_not_parse_as_text) {
  for (const std::string wrong :
       {"<tool_call>{\"name\": f}</tool_call>", "<tool_call>{\"name\": \"f\", \"argu",
        "[TOOL_CALLS][{\"nam\":\"f\"}]", "a <tool_call> b", "<|python_tag|>print(1)"}) {
    EXPECT_EQ(told(kAll, {wrong}), "text(" + wrong + ")");
  }
}

TEST(MarkedSplitter, knows_where_a_call_ends_that_lacks_its_marker) {
  EXPECT_EQ(told(kAll, {"<tool_call>{\"name\":\"f\",\"arguments\":{}}\nThat was it."}),
            "call(f,{})text(That was it.)");
  EXPECT_EQ(told(kAll, {"<tool_call>{\"name\":\"f\"}\n</tool_"}), "call(f,{})");
}

TEST(MarkedSplitter, tells_calls_as_they_come_once_their_name_is_known) {
  Markup markup = kAll;
  markup.calls_as_they_come = true;
  MarkedSplitter splitter(markup);
  const auto pushed = [&](const char* text) { return told(splitter.push(text)); };
  EXPECT_EQ(pushed("<tool_call>\n{\"name\": \"f\", \"argum"), "");
  EXPECT_EQ(pushed("ents\": {\"a"), "call(f,{\"a)");
  EXPECT_EQ(pushed("\": \"</tool_call>"), "\": \"</tool_call>");
  EXPECT_EQ(pushed("\"}"), "\"}");
  EXPECT_EQ(pushed(", \"more\": {}}"), ")");
  EXPECT_EQ(pushed("\n</tool_call>\nDone"), "text(Done)");
  EXPECT_EQ(splitter.n_calls(), 1);

  EXPECT_EQ(told(markup, {"<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":[1,"}),
            "call(f,{\"a\":[1,)");
  // What cannot be told so is told whole.
  EXPECT_EQ(told(markup, {"<tool_call>{\"arguments\":{\"a\":1},\"name\":\"f\"}</tool_call>"}),
            "call(f,{\"a\":1})");
  EXPECT_EQ(told(markup, {"<tool_call>{\"name\":\"f\",\"arguments\":\"{}\"}</tool_call>"}),
            "call(f,{})");
  EXPECT_EQ(told(markup, {"<tool_call>{\"name\":\"f\" oh"}), "text(<tool_call>{\"name\":\"f\" oh)");
}

TEST(MarkedSplitter, takes_an_answer_of_json_for_a_call_only_of_an_offered_tool) {
  Markup llama{.calls_tools = true, .bare_calls = true, .tool_names = {"f"}};
  EXPECT_EQ(told(llama, {"{\"name\":\"f\",\"parameters\":{\"a\":1}}; {\"name\":\"f\"}"}),
            "call(f,{\"a\":1})call(f,{})");
  EXPECT_EQ(told(llama, {"{\"name\":\"Bob\"} is JSON"}), "text({\"name\":\"Bob\"} is JSON)");
  EXPECT_EQ(told(llama, {"It is {\"name\":\"f\"}"}), "text(It is {\"name\":\"f\"})");
}

TEST(MarkedSplitter, leaves_plain_text_alone) {
  const std::string text = "  <think> and <tool_call> are \n words \n";
  EXPECT_EQ(told({}, {text}), "text(" + text + ")");
  EXPECT_EQ(told(kAll, {" two \n lines \n"}), "text( two \n lines \n)");
}

TEST(MarkedSplitter, knows_that_the_prompt_began_the_reasoning) {
  Markup begun = kAll;
  begun.begins_in_reasoning = true;
  EXPECT_EQ(told(begun, {"\nHm.", "</thi", "nk>\n", "Yes"}), "reasoning(Hm.)text(Yes)");
}

TEST(MarkedSplitter, says_the_same_however_the_text_is_cut) {
  const std::vector<std::string> parts{"<think>",
                                       "</think>",
                                       "<tool_call>",
                                       "</tool_call>",
                                       "[TOOL_CALLS]",
                                       "<|python_tag|>",
                                       "{\"name\":\"f\",\"arguments\":{\"a\":\"</tool_call>\"}}",
                                       "[{\"name\":\"f\"}]",
                                       "{\"name\": \"f\", \"arguments\": {\"a\": \"}\"",
                                       "text ",
                                       "\n",
                                       "<",
                                       "</",
                                       "{",
                                       "}",
                                       "\"",
                                       "f{\"a\":1}",
                                       ";",
                                       "<tool",
                                       "[TOOL"};
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (auto i = random() % 9; i > 0; --i) text += parts[random() % parts.size()];
    Markup markup = kAll;
    markup.bare_calls = random() % 2 == 0;
    markup.tool_names = {"f"};
    markup.begins_in_reasoning = random() % 2 == 0;
    markup.calls_as_they_come = random() % 2 == 0;
    const std::string whole = told(markup, {text});
    ASSERT_EQ(told(markup, cut_at_random(text, random)), whole) << text;
  }
}

}  // namespace
}  // namespace sluice::server
