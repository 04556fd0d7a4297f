#include "sluice/server/answers/channel_splitter.h"

#include <gtest/gtest.h>

#include <random>

#include "sluice/server/answers/told.h"

namespace sluice::server {
namespace {

Markup channels() {
  Markup markup;
  markup.has_channels = markup.calls_tools = true;
  markup.tool_names = {"f", "g.h"};
  return markup;
}

const std::string kThought = "<|channel|>analysis<|message|>Hm.<|end|>";
const std::string kCall =
    "<|start|>assistant<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": 1}";

TEST(ChannelSplitter, tells_analysis_as_reasoning_and_final_as_text) {
  EXPECT_EQ(
      told(channels(), {kThought + "<|start|>assistant<|channel|>final<|message|>Hi<|return|>"}),
      "reasoning(Hm.)text(Hi)");
  EXPECT_EQ(told(channels(), {"<|channel|>final<|message|>2 < 3 <|x|>"}), "text(2 < 3 <|x|>)");
}

TEST(ChannelSplitter, tells_commentary_as_calls_and_as_text) {
  EXPECT_EQ(told(channels(), {kThought + kCall + "<|call|>"}), "reasoning(Hm.)call(f,{\"a\":1})");
  EXPECT_EQ(told(channels(), {kThought + kCall}), "reasoning(Hm.)call(f,{\"a\":1})")
      << "<|call|> ends the answer, so that nobody sees it";
  EXPECT_EQ(told(channels(), {"<|channel|>commentary<|message|>First I look.<|end|>" + kCall}),
            "text(First I look.)call(f,{\"a\":1})");
  EXPECT_EQ(told(channels(), {" to=functions.g.h<|channel|>commentary json<|message|>{}<|call|>"}),
            "call(g.h,{})")
      << "as the template writes calls of the past";
  EXPECT_EQ(told(channels(), {kCall + "<|end|>" + kCall + "<|call|>"}),
            "call(f,{\"a\":1})call(f,{\"a\":1})");
}

TEST(ChannelSplitter, keeps_messages_of_a_kind_apart) {
  EXPECT_EQ(told(channels(), {kThought + "<|start|>assistant" + kThought +
                              "<|start|>assistant<|channel|>commentary<|message|>One.<|end|>"
                              "<|start|>assistant<|channel|>final<|message|>Two."}),
            "reasoning(Hm.\n\nHm.)text(One.\n\nTwo.)");
}

TEST(ChannelSplitter, tells_a_call_that_does_not_parse_as_text) {
  const std::string header = "<|channel|>commentary to=functions.f<|message|>";
  EXPECT_EQ(told(channels(), {header + "f(1)"}), "text(" + header + "f(1))");
  EXPECT_EQ(told(channels(), {header + "{\"a\": 1"}), "text(" + header + "{\"a\": 1)");
  EXPECT_EQ(told(channels(), {header + "{a}<|call|>"}), "text(" + header + "{a})");
  const std::string other = "<|channel|>commentary to=functions.x<|message|>{}";
  EXPECT_EQ(told(channels(), {other}), "text(" + other + ")");
  EXPECT_EQ(told(channels(), {"<|channel|>analysis to=python<|message|>1+1<|end|>"}),
            "reasoning(1+1)");
}

TEST(ChannelSplitter, tells_what_has_no_channel_as_text) {
  for (const std::string text : {"Hello", "t", "to be", "<b>bold</b>", ""})
    EXPECT_EQ(told(channels(), {text}), text.empty() ? "" : "text(" + text + ")");
  EXPECT_EQ(told(channels(), {"<|channel|>" + std::string(2000, 'x')}),
            "text(<|channel|>" + std::string(2000, 'x') + ")");
  EXPECT_EQ(told(channels(), {"<|start|>" + std::string(2000, 'x')}),
            "text(" + std::string(2000, 'x') + ")");
}

TEST(ChannelSplitter, tells_calls_as_they_come) {
  Markup markup = channels();
  markup.calls_as_they_come = true;
  ChannelSplitter splitter(markup);
  EXPECT_EQ(
      told(splitter.push(kThought + "<|start|>assistant<|channel|>commentary to=functions.f")),
      "reasoning(Hm.)");
  EXPECT_EQ(told(splitter.push("<|message|> {\"a")), "call(f,{\"a)");
  EXPECT_EQ(told(splitter.push("\": \"<|end|>")), "\": \"<|end|>");
  EXPECT_EQ(told(splitter.push("\"} ")), "\"})");
  EXPECT_EQ(told(splitter.finish()), "");
  EXPECT_EQ(splitter.n_calls(), 1);
}

TEST(ChannelSplitter, says_the_same_however_the_text_is_cut) {
  const std::vector<std::string> parts{"<|start|>",
                                       "<|channel|>",
                                       "<|message|>",
                                       "<|end|>",
                                       "<|call|>",
                                       "<|return|>",
                                       "<|constrain|>",
                                       "assistant",
                                       "analysis",
                                       "commentary",
                                       "final",
                                       " to=functions.f ",
                                       "to=functions.x",
                                       "json",
                                       "{\"a\": \"<|end|>\"}",
                                       "{\"a\":",
                                       "text",
                                       " ",
                                       "\n",
                                       "<|",
                                       "t",
                                       "}"};
  std::mt19937 random(1);
  for (int round = 0; round < 5000; ++round) {
    std::string text;
    for (auto i = random() % 14; i > 0; --i) text += parts[random() % parts.size()];
    Markup markup = channels();
    markup.calls_as_they_come = random() % 2 == 0;
    markup.calls_tools = random() % 4 != 0;
    const std::string whole = told(markup, {text});
    ASSERT_EQ(told(markup, cut_at_random(text, random)), whole) << text;
  }
}

}  // namespace
}  // namespace sluice::server
