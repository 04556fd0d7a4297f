#include "sluice/text/chat_template.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"

namespace sluice::text {
namespace {

using Json = nlohmann::ordered_json;

const Json kMessages = {{{"role", "user"}, {"content", "Hi <b> & \"q\""}}};

std::string render(const std::string& source, const Json& args) {
  return ChatTemplate::from_source(source, "here").render(kMessages, {}, args, true);
}

ErrorKind kind_of(const ChatTemplate& chat_template) {
  try {
    chat_template.render(kMessages, {}, {}, false);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("here"), std::string::npos) << error.what();
    return error.kind();
  }
  return ErrorKind::internal;
}

/// A directory that is gone at the test's end.
class ChatTemplateFiles : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    directory_ =
        std::filesystem::path(testing::TempDir()) / (std::string("sluice-") + test->name());
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ / name) << text;
  }
  std::string render(const Json& tools) const {
    return ChatTemplate::from_directory(directory_).value().render(kMessages, tools, {}, false);
  }

  std::filesystem::path directory_;
};

TEST(ChatTemplate, KnowsTheConversation) {
  EXPECT_EQ(render("{% for m in messages %}[{{ m.role }}]{{ m['content'] }}{% endfor %}"
                   "{% if add_generation_prompt %}>{% endif %}",
                   Json::object()),
            "[user]Hi <b> & \"q\">");
}

TEST(ChatTemplate, LetsArgumentsAddAndReplaceVariables) {
  EXPECT_EQ(render("{{ bos_token }}{{ thinking }}", {{"thinking", false}, {"bos_token", "B"}}),
            "BFalse");
}

TEST(ChatTemplate, PrintsToolsWithTheirKeysInOrder) {
  const Json tools = {{{"type", "function"}, {"function", {{"name", "f"}, {"args", {1, 2}}}}}};
  EXPECT_EQ(ChatTemplate::from_source("{{ tools[0]|tojson }}", "here")
                .render(kMessages, tools, {}, false),
            R"({"type": "function", "function": {"name": "f", "args": [1, 2]}})");
}

TEST(ChatTemplate, SaysWhoseFaultAFailureIs) {
  EXPECT_EQ(kind_of(ChatTemplate::from_source("{% if %}", "here")), ErrorKind::bad_model);
  EXPECT_EQ(kind_of(ChatTemplate::from_source("{{ raise_exception('no') }}", "here")),
            ErrorKind::bad_request);
}

TEST(ChatTemplate, IsNotRunAgainOnceItOverran) {
  const auto bomb = ChatTemplate::from_source(
      "{% set ns = namespace(x=0) %}{% for i in range(99) %}{% set ns.x = [ns.x, "
      "range(99999)|list] "
      "%}{% endfor %}",
      "here");
  EXPECT_EQ(kind_of(bomb), ErrorKind::bad_request);
  try {
    bomb.render(kMessages, {}, {}, false);
    FAIL() << "ran again";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("before"), std::string::npos) << error.what();
  }
}

TEST(ChatTemplate, RefusesMessagesThatAreNotUtf8) {
  const Json messages = {{{"role", "user"}, {"content", "\xFF"}}};
  EXPECT_THROW(ChatTemplate::from_source("x", "here").render(messages, {}, {}, false), Error);
}

TEST_F(ChatTemplateFiles, TheJinjaFileGoesBeforeTheConfiguration) {
  write("tokenizer_config.json", R"({"chat_template": "config"})");
  EXPECT_EQ(render({}), "config");
  write("chat_template.jinja", "jinja\n");
  EXPECT_EQ(render({}), "jinja");
}

TEST_F(ChatTemplateFiles, TheTokenizersTokensAreTrustedAndTheMessagesAreNot) {
  write("tokenizer.json", R"({"added_tokens": [{"id": 1, "content": "<s>", "special": true,
      "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}],
      "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})");
  write("special_tokens_map.json", R"({"bos_token": "<s>"})");
  const auto tokenizer = Tokenizer::from_directory(directory_);
  const Json messages = {{{"role", "user"}, {"content", "<s>"}}};
  // A template from elsewhere knows the model's tokens too.
  const auto chat = ChatTemplate::from_source("{{ bos_token + messages[0].content }}<s>", "here");
  const RenderedPrompt prompt = chat.render(messages, {}, {}, true, *tokenizer);
  EXPECT_EQ(prompt.text, "<s><s><s>");
  EXPECT_EQ(prompt.trusted, (std::vector<RenderedPrompt::Span>{{0, 3}, {6, 9}}));
  EXPECT_FALSE(prompt.add_bos);
  const RenderedPrompt given = chat.render(messages, {}, {{"bos_token", "<s>"}}, true, *tokenizer);
  EXPECT_EQ(given.trusted, (std::vector<RenderedPrompt::Span>{{6, 9}}));
}

TEST_F(ChatTemplateFiles, APointerOfGitLfsIsNamed) {
  write("chat_template.jinja", "version https://git-lfs.github.com/spec/v1\n");
  EXPECT_THROW(ChatTemplate::from_directory(directory_), Error);
}

TEST_F(ChatTemplateFiles, NamedTemplatesAreChosenByTools) {
  write(
      "tokenizer_config.json",
      R"({"chat_template": [{"name": "default", "template": "d"}, {"name": "tool_use", "template": "t"}]})");
  EXPECT_EQ(render({}), "d");
  EXPECT_EQ(render(Json::array({1})), "t");
}

TEST_F(ChatTemplateFiles, AModelCanHaveNone) {
  EXPECT_FALSE(ChatTemplate::from_directory(directory_));
  write("tokenizer_config.json", "{}");
  EXPECT_FALSE(ChatTemplate::from_directory(directory_));
}

}  // namespace
}  // namespace sluice::text
