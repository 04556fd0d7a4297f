#include "sluice/server/answers/tool_calls.h"

#include <gtest/gtest.h>

#include <random>

#include "sluice/server/answers/told.h"

namespace sluice::server {
namespace {

Markup markup() {
  Markup markup;
  markup.calls_tools = true;
  markup.tool_names = {"f"};
  markup.text_arguments = {{"f", {"text"}}};
  return markup;
}

struct Written {
  std::string text, told;
};

const std::vector<Written> kWritten{
    {"<tool_call><function=f>\n<parameter=text>\n7\n</parameter>\n<parameter=n>7</parameter>\n"
     "</function></tool_call>",
     R"(call(f,{"text":"7","n":7}))"},
    {"<tool_call><function=f><parameter=text>\n    if x:\n        "
     "y\n</parameter></function></tool_call>",
     R"(call(f,{"text":"    if x:\n        y"}))"},
    {"<seed:tool_call>\n<function=f>\n<parameter=n>[1]</parameter>\n</function>\n</seed:tool_call>",
     R"(call(f,{"n":[1]}))"},
    {"<tool_call>f<arg_key>text</arg_key><arg_value>true</arg_value></tool_call>",
     R"(call(f,{"text":"true"}))"},
    {"<longcat_tool_call>f\n<longcat_arg_key>n</longcat_arg_key>\n"
     "<longcat_arg_value>1.5</longcat_arg_value>\n</longcat_tool_call>",
     R"(call(f,{"n":1.5}))"},
    {R"(<longcat_tool_call>{"name": "f", "arguments": {}}</longcat_tool_call>)", "call(f,{})"},
    {"<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>"
     "{\"n\": 1}<|tool_call_end|><|tool_call_begin|>g:1<|tool_call_argument_begin|>{}"
     "<|tool_call_end|><|tool_calls_section_end|>",
     R"(call(f,{"n":1})call(g,{}))"},
    {"<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"text\">12</parameter>\n"
     "<parameter name=\"n\">12</parameter>\n</invoke>\n<invoke name=\"g\">\n</invoke>\n"
     "</minimax:tool_call>",
     R"(call(f,{"text":"12","n":12})call(g,{}))"},
    {"<|tool_call>call:f{text:<|\"|>a}, "
     "\"b\"<|\"|>,list:[1,<|\"|>x<|\"|>],deep:{k:true}}<tool_call|>",
     R"(call(f,{"text":"a}, \"b\"","list":[1,"x"],"deep":{"k":true}}))"},
    {"<start_function_call>call:f{text:<escape>a, b<escape>,n:3,word:blue}<end_function_call>",
     R"(call(f,{"text":"a, b","n":3,"word":"blue"}))"},
    {R"(<|tool_call_start|>[f(text="it's ]", n=-2, list=['a', None], on=True), g()]<|tool_call_end|>)",
     R"(call(f,{"text":"it's ]","n":-2,"list":["a",null],"on":true})call(g,{}))"},
    {R"(<|tool_call_start|>f(text='a\'b\n', deep={"k": 1})<|tool_call_end|>)",
     R"(call(f,{"text":"a'b\n","deep":{"k":1}}))"},
    {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"n\": 1}<｜tool▁call▁end｜>"
     "<｜tool▁calls▁end｜>",
     R"(call(f,{"n":1}))"},
    {"<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{\"n\": 1}\n```"
     "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
     R"(call(f,{"n":1}))"},
    {"<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"f\">\n"
     "<｜DSML｜parameter name=\"word\" string=\"true\">5</｜DSML｜parameter>\n"
     "<｜DSML｜parameter name=\"n\" string=\"false\">5</｜DSML｜parameter>\n"
     "</｜DSML｜invoke>\n</｜DSML｜function_calls>",
     R"(call(f,{"word":"5","n":5}))"},
};

TEST(ToolCalls, are_read_as_models_write_them) {
  for (const Written& written : kWritten) {
    EXPECT_EQ(told(markup(), {"Well. " + written.text + " Done."}),
              "text(Well.)" + written.told + "text(Done.)")
        << written.text;
  }
}

TEST(ToolCalls, are_text_when_damaged_and_never_more_than_that) {
  std::mt19937 random(3);
  for (int round = 0; round < 4000; ++round) {
    std::string text = kWritten[random() % kWritten.size()].text;
    for (auto n = 1 + random() % 4; n > 0; --n) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text.erase(at, 1 + random() % 5);
      } else {
        text.insert(at, 1, "{}[]()<>|\"',:=\\"[random() % 15]);
      }
      if (text.empty()) break;
    }
    std::vector<std::string> pushes;
    for (const char c : text) pushes.emplace_back(1, c);
    ASSERT_EQ(told(markup(), pushes), told(markup(), {text})) << text;
  }
}

TEST(ToolCalls, of_any_depth_are_read_within_a_bound) {
  const std::string deep(100000, '[');
  EXPECT_EQ(told(markup(), {"<|tool_call>call:f{a:" + deep + "}<tool_call|>"}),
            "text(<|tool_call>call:f{a:" + deep + "}<tool_call|>)");
  EXPECT_EQ(told(markup(), {"<|tool_call_start|>f(a=" + deep + ")<|tool_call_end|>"}),
            "text(<|tool_call_start|>f(a=" + deep + ")<|tool_call_end|>)");
}

}  // namespace
}  // namespace sluice::server
