#include "sluice/server/dialects/roles.h"

#include <gtest/gtest.h>

#include "sluice/server/dialects/conversation.h"
#include "sluice/text/chat_template.h"

namespace sluice::server {
namespace {

// As Gemma's: no system message, roles in turn, no tools.
constexpr const char* kAlternating = R"({% for m in messages %}
{% if m.role not in ['user', 'assistant'] %}{{ raise_exception('Role not supported') }}{% endif %}
{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}
[{{ m.role }}]{{ m.content }}{% endfor %})";

// As Qwen's: a system message at the beginning only, tools and their results.
constexpr const char* kSystemFirst =
    R"({% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}
{% if m.role == 'system' and not loop.first %}{{ raise_exception('System message must be at the beginning') }}{% endif %}
[{{ m.role }}]{{ m.content }}{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}{% endif %}{% endfor %})";

// As Mistral's: ids of 9 letters and digits.
constexpr const char* kShortIds =
    R"({% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}
{% if m.role == 'tool' and m.tool_call_id | length != 9 %}{{ raise_exception('ids must have 9 letters') }}{% endif %}
[{{ m.role }}]{{ m.content }}{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function.name }}{{ c.id }}{% endfor %}{% endif %}{% endfor %})";

constexpr const char* kAll = R"({{ tools | tojson }}{{ messages | tojson }})";

TemplateAbilities abilities_of(const char* source) {
  const auto chat_template = text::ChatTemplate::from_source(source, "test");
  return probe_template([&](const Json& messages, const Json& tools) {
    return chat_template.render(messages, tools, Json::object(), true);
  });
}

Json conversation() {
  return Json::parse(R"([
    {"role":"system","content":"s1"},{"role":"system","content":"s2"},
    {"role":"user","content":"u1"},{"role":"system","content":"late"},
    {"role":"assistant","content":"","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":{"a":1}}}]},
    {"role":"tool","content":"r1","tool_call_id":"call_1"},
    {"role":"user","content":"u2"}])");
}

TEST(Abilities, are_found_by_trying) {
  EXPECT_EQ(abilities_of(kAll), TemplateAbilities{});
  const TemplateAbilities alternating{.system = false,
                                      .late_system = false,
                                      .repeated_roles = false,
                                      .tools = false,
                                      .tool_calls = false,
                                      .tool_results = false};
  EXPECT_EQ(abilities_of(kAlternating), alternating);
  EXPECT_EQ(abilities_of(kSystemFirst), TemplateAbilities{.late_system = false});
  EXPECT_EQ(abilities_of(kShortIds), TemplateAbilities{.long_ids = false});
}

TEST(Abilities, tell_calls_in_json_from_others) {
  const std::string before =
      "{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>\n";
  const std::string after = "\n</tool_call>{% endfor %}{% endfor %}";
  const std::string json = R"({"name": "{{ c.function.name }}", "arguments": {}})";
  EXPECT_TRUE(abilities_of((before + json + after).c_str()).json_calls);
  const std::string coder = "<function={{ c.function.name }}></function>";
  EXPECT_FALSE(abilities_of((before + coder + after).c_str()).json_calls);
}

TEST(Roles, stay_as_they_are_where_the_template_shows_all) {
  Json tools = Json::array({make_tool("f", "d", nullptr, false)});
  EXPECT_EQ(normalise_roles(conversation(), tools, {}), conversation());
  EXPECT_FALSE(tools.is_null());
}

TEST(Roles, put_a_late_system_message_where_it_stood) {
  Json tools;
  EXPECT_EQ(
      normalise_roles(conversation(), tools, {.late_system = false}).dump(),
      R"([{"role":"system","content":"s1\n\ns2"},{"role":"user","content":"u1"},)"
      R"({"role":"user","content":"<system-reminder>\nlate\n</system-reminder>"},)"
      R"({"role":"assistant","content":"","tool_calls":[{"id":"call_1","type":"function",)"
      R"("function":{"name":"f","arguments":{"a":1}}}]},)"
      R"({"role":"tool","content":"r1","tool_call_id":"call_1"},{"role":"user","content":"u2"}])");
}

TEST(Roles, become_turns_of_text_for_a_template_that_knows_nothing_else) {
  Json tools;
  EXPECT_EQ(
      normalise_roles(conversation(), tools, abilities_of(kAlternating)).dump(),
      R"([{"role":"user","content":"s1\n\ns2\n\nu1\n\n<system-reminder>\nlate\n</system-reminder>"},)"
      R"({"role":"assistant","content":"<tool_call>\n{\"name\":\"f\",\"arguments\":{\"a\":1}}\n</tool_call>"},)"
      R"({"role":"user","content":"<tool_response>\nr1\n</tool_response>\n\nu2"}])");
}

TEST(Roles, describe_tools_that_the_template_cannot_list) {
  Json tools = Json::array({make_tool("f", "does f", nullptr, false)});
  const Json messages =
      normalise_roles(Json::parse(R"([{"role":"user","content":"x"}])"), tools, {.tools = false});
  EXPECT_TRUE(tools.is_null());
  EXPECT_EQ(messages[0]["role"], "system");
  EXPECT_NE(messages[0]["content"].get<std::string>().find("does f"), std::string::npos);
}

TEST(Roles, shorten_ids_alike_in_calls_and_results) {
  Json tools;
  const Json messages = normalise_roles(conversation(), tools, {.long_ids = false});
  EXPECT_EQ(messages[4]["tool_calls"][0]["id"], "call00000");
  EXPECT_EQ(messages[5]["tool_call_id"], "call00000");
}

TEST(Roles, do_not_change_what_came_before_when_a_conversation_grows) {
  for (const char* source : {kAlternating, kSystemFirst, kShortIds, kAll}) {
    const auto abilities = abilities_of(source);
    const auto chat_template = text::ChatTemplate::from_source(source, "test");
    const Json all = conversation();
    const auto shown = [&](const Json& messages) {
      Json tools;
      return chat_template.render(normalise_roles(messages, tools, abilities), nullptr,
                                  Json::object(), false);
    };
    // Up to and with the assistant's call: an agent's next request goes on from there.
    Json shorter = all;
    while (shorter.back()["role"] != "assistant") shorter.erase(shorter.size() - 1);
    if (source == kAll) continue;  // prints a closing bracket
    EXPECT_TRUE(shown(all).starts_with(shown(shorter))) << source;
  }
}

}  // namespace
}  // namespace sluice::server
