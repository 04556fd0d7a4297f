#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <random>
#include <set>

#include "sluice/server/dialects/data_asks.h"
#include "sluice/server/dialects/model_info.h"
#include "sluice/server/dialects/scripted_answer.h"

namespace sluice::server {
namespace {

using namespace testing;  // NOLINT: of sluice::server

/// A request of every dialect with as many fields as it has.
std::vector<std::pair<const Dialect*, Json>> full_requests() {
  const Json chat = Json::parse(R"({
    "model":"m","messages":[
      {"role":"developer","content":"d"},
      {"role":"user","name":"u","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}]},
      {"role":"assistant","content":null,"reasoning_content":"r","refusal":null,"prefix":false,"tool_calls":[
        {"id":"1","type":"function","index":0,"function":{"name":"f","arguments":"{\"a\":[1]}"}},
        {"id":"2","type":"custom","custom":{"name":"c","input":"i"}}]},
      {"role":"tool","tool_call_id":"1","content":"1"},{"role":"assistant","content":"so","prefix":true}],
    "tools":[{"type":"function","function":{"name":"f","description":"d","strict":true,"parameters":{"type":"object"}}},
             {"type":"custom","custom":{"name":"c","description":"d","format":{"type":"grammar","grammar":{"syntax":"regex","definition":"a+"}}}},
             {"type":"web_search"}],
    "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}},
    "parallel_tool_calls":true,"response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object"}}},
    "reasoning_effort":"low","reasoning":{"effort":"high","summary":"auto","max_tokens":5},"thinking":{"type":"enabled","budget_tokens":1024},
    "chat_template_kwargs":{"enable_thinking":true,"x":[1]},"logprobs":true,"top_logprobs":2,"n":2,"best_of":1,
    "stop":["a","b"],"seed":1,"temperature":0.5,"top_p":0.5,"top_k":5,"min_p":0.1,"typical_p":1,"repeat_last_n":3,
    "repetition_penalty":1.1,"presence_penalty":0.1,"frequency_penalty":0.1,"xtc_probability":0.1,"xtc_threshold":0.1,
    "logit_bias":{"1":2},"max_tokens":5,"max_completion_tokens":6,"stream":true,"stream_options":{"include_usage":true},
    "modalities":["text"],"cache_salt":"s","continue_final_message":true,"ignore_eos":false,"store":true,"user":"u"})");
  const Json text =
      Json::parse(R"({"model":"m","prompt":["p"],"suffix":"s","echo":true,"logprobs":1,"n":2,
    "structured_outputs":{"choice":["a","b"]},"max_tokens":3,"stop":"x","stream":true,"stream_options":{}})");
  const Json anthropic = Json::parse(
      R"({"model":"m","max_tokens":5,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],
    "messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"}}]},
      {"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"redacted_thinking","data":"x"},{"type":"tool_use","id":"1","name":"f","input":{"a":1}}]},
      {"role":"user","content":[{"type":"tool_result","tool_use_id":"1","is_error":true,"content":[{"type":"text","text":"r"}]}]},
      {"role":"system","content":"late"}],
    "tools":[{"name":"f","description":"d","strict":true,"input_schema":{"type":"object"},"input_examples":[{}]}],
    "tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true},"thinking":{"type":"enabled","budget_tokens":1024,"display":"x"},
    "output_config":{"effort":"low","format":{"type":"json_schema","schema":{}}},"stop_sequences":["a"],
    "temperature":1,"top_p":0.9,"top_k":3,"metadata":{"user_id":"u"},"stream":true})");
  const Json responses = Json::parse(R"({"model":"m","instructions":"i","input":[
      {"type":"message","role":"user","content":[{"type":"input_text","text":"x"}]},{"role":"assistant","content":"y"},
      {"type":"reasoning","id":"r","summary":[],"content":[{"type":"reasoning_text","text":"t"}],"encrypted_content":null},
      {"type":"function_call","call_id":"1","name":"f","namespace":"n","arguments":"{}"},
      {"type":"function_call_output","call_id":"1","output":[{"type":"input_text","text":"o"}]},
      {"type":"custom_tool_call","call_id":"2","name":"c","input":"i"},{"type":"local_shell_call","call_id":"3","action":{"a":1}},{"type":"web_search_call"}],
    "tools":[{"type":"function","name":"f","parameters":{},"strict":false},{"type":"namespace","name":"n","description":"d","tools":[{"type":"function","name":"g"}]},
      {"type":"custom","name":"c","format":{"type":"grammar","syntax":"lark","definition":"d"}},{"type":"web_search"}],
    "tool_choice":{"type":"function","name":"f"},"parallel_tool_calls":true,"reasoning":{"effort":"low","summary":"auto"},
    "text":{"format":{"type":"json_schema","name":"n","schema":{},"strict":true},"verbosity":"low"},"include":["message.output_text.logprobs"],
    "top_logprobs":1,"max_output_tokens":5,"stream":true,"store":false,"truncation":"auto","background":false,"metadata":{"a":"b"}})");
  const Json ollama =
      Json::parse(R"({"model":"m","messages":[{"role":"user","content":"x","images":[]},
      {"role":"assistant","content":"","thinking":"t","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},{"role":"tool","tool_name":"f","content":"1"}],
    "tools":[{"type":"function","function":{"name":"f"}}],"format":{"type":"object"},"think":"low","keep_alive":"5m","logprobs":true,"top_logprobs":1,
    "options":{"num_ctx":100,"num_predict":-2,"temperature":1,"stop":["a"],"seed":1,"mirostat":0,"tfs_z":1,"num_gpu":1},"stream":true})");
  const Json generate = Json::parse(
      R"({"model":"m","prompt":"p","system":"s","template":"","context":[],"images":[],"raw":false,"format":"json","keep_alive":5,"stream":false})");
  const Json infill = Json::parse(
      R"({"input_prefix":"a","input_suffix":"b","prompt":"c","input_extra":[{"filename":"f","text":"t"}],"n_predict":5,
    "n_indent":1,"samplers":["top_k","infill"],"response_fields":["content"],"n_probs":2,"t_max_predict_ms":5,"lora":[],"grammar":"root ::= \"a\"","stream":false})");
  const Json completion = Json::parse(
      R"({"prompt":[1,2],"n_predict":-1,"stream":true,"return_tokens":true,"json_schema":{"type":"object"},"dynatemp_range":0,"mirostat":0})");
  Json plain = chat;
  plain.erase("n");
  return {{&kOpenAiChat, chat},
          {&kLmStudioChat, chat},
          {&kOpenAiChatTokens, chat},
          {&kLlamaApplyTemplate, plain},
          {&kOpenAiCompletions, text},
          {&kLmStudioCompletions, text},
          {&kAnthropicMessages, anthropic},
          {&kAnthropicTokens, anthropic},
          {&kOpenAiResponses, responses},
          {&kOpenAiResponsesTokens, responses},
          {&kOllamaChat, ollama},
          {&kOllamaGenerate, generate},
          {&kLlamaInfill, infill},
          {&kLlamaCompletion, completion}};
}

/// Every value inside, the value itself included.
void each_value(Json& value, const std::function<void(Json&)>& visit) {
  visit(value);
  if (!value.is_structured()) return;
  for (Json& inner : value) each_value(inner, visit);
}

/// Reads and, where it is taken, has a short answer told. Whatever happens is one of the two.
void answer_or_refuse(const Dialect& dialect, const Json& body) {
  try {
    const Asked asked = dialect.read(body, {});
    std::string out;
    ASSERT_TRUE(asked.writer) << dialect.name;
    asked.writer->begin(head(), out);
    asked.writer->piece(text("a"), out);
    for (int i = 0; i < asked.ask.n; ++i) asked.writer->end({.choice = i}, out);
    asked.writer->finish(usage(), out);
    EXPECT_FALSE(out.empty()) << dialect.name;
  } catch (const Refusal& refusal) {
    EXPECT_EQ(refusal.status, 400) << dialect.name << ": " << body.dump();
    EXPECT_NE(std::string(refusal.what()).find(": "), std::string::npos) << refusal.what();
    EXPECT_TRUE(Json::accept(dialect.error_body(refusal, "r")));
  }
}

TEST(EveryDialect, takes_its_full_request) {
  for (const auto& [dialect, body] : full_requests()) {
    try {
      dialect->read(body, {});
    } catch (const Refusal& refusal) {
      ADD_FAILURE() << dialect->name << ": " << refusal.what();
    }
  }
}

TEST(EveryDialect, answers_or_names_the_field_when_any_value_is_of_another_type) {
  const auto others = Json::parse(
      R"([null,true,0,-1,1e300,-0.5,18446744073709551615,"","x",[],[[]],{},{"a":1},[null],[1,"a"]])");
  for (auto& [dialect, body] : full_requests()) {
    Json* whole = &body;
    each_value(body, [&](Json& value) {
      const Json kept = value;
      if (&value == whole) return;
      for (const Json& other : others) {
        value = other;
        answer_or_refuse(*dialect, *whole);
      }
      value = kept;
    });
  }
}

TEST(EveryDialect, takes_null_for_every_optional_field) {
  for (auto& [dialect, body] : full_requests()) {
    for (const auto& [name, value] : body.items()) {
      if (name == "messages" || name == "prompt" || name == "input" || name == "max_tokens" ||
          name == "logprobs" || name == "tools") {
        continue;  // needed, or others need them
      }
      Json changed = body;
      changed[name] = nullptr;
      if (name == "n") changed["best_of"] = nullptr;
      EXPECT_NO_THROW(dialect->read(changed, {})) << dialect->name << " " << name;
    }
  }
}

TEST(EveryDialect, names_a_field_that_nobody_knows) {
  for (auto& [dialect, body] : full_requests()) {
    body["frobnicate"] = 1;
    try {
      dialect->read(body, {});
      ADD_FAILURE() << dialect->name;
    } catch (const Refusal& refusal) {
      EXPECT_EQ(refusal.param, "frobnicate");
      EXPECT_EQ(refusal.code, "unknown_parameter");
    }
  }
}

TEST(DataRoutes, answer_or_refuse_values_of_any_type) {
  const auto others = Json::parse(R"([null,true,-1,1e300,"x",[],[[]],{},[1,"a"]])");
  using Reader = std::function<void(const Json&)>;
  const std::vector<std::pair<Reader, Json>> readers = {
      {[](const Json& body) { read_openai_embeddings(body, {}); },
       Json::parse(R"({"model":"m","input":["a"],"encoding_format":"base64","dimensions":3})")},
      {[](const Json& body) { read_ollama_embed(body, {}); },
       Json::parse(R"({"model":"m","input":"a","truncate":true,"options":{}})")},
      {[](const Json& body) { read_ollama_embeddings(body, {}); },
       Json::parse(R"({"prompt":"a"})")},
      {[](const Json& body) { read_tokenize(body, {}); },
       Json::parse(R"({"content":"a","add_special":true})")},
      {[](const Json& body) { read_detokenize(body, {}); }, Json::parse(R"({"tokens":[1]})")},
      {[](const Json& body) { read_ollama_show(body); },
       Json::parse(R"({"model":"m","verbose":true})")}};
  for (const auto& [reader, body] : readers) {
    EXPECT_NO_THROW(reader(body));
    for (const auto& [name, value] : body.items()) {
      for (const Json& other : others) {
        Json changed = body;
        changed[name] = other;
        try {
          reader(changed);
        } catch (const Refusal& refusal) {
          EXPECT_EQ(refusal.status, 400);
        }
      }
    }
  }
}

std::string refusal_of_body(const std::string& bytes) {
  try {
    parse_body(bytes, {});
  } catch (const Refusal& refusal) {
    return refusal.what();
  }
  return "";
}

TEST(Body, is_refused_for_levels_and_keys_before_anything_is_built) {
  EXPECT_EQ(refusal_of_body(std::string(1000000, '[')),
            "the body: is nested deeper than 64 levels");
  std::string keys = "{";
  for (int i = 0; i < 5000; ++i) keys += "\"" + std::to_string(i) + "\":1,";
  EXPECT_EQ(refusal_of_body(keys + "\"a\":1}"), "the body: has an object of more than 4096 keys");
  EXPECT_EQ(refusal_of_body("{\"a\":1e999}"),
            "the body: holds a number that no double can represent");
  EXPECT_EQ(refusal_of_body("{\"a\":\"\xFF\"}"), "the body: is no JSON from byte 7 on");
  EXPECT_EQ(refusal_of_body(""), "the body: is no JSON from byte 1 on");
  EXPECT_EQ(refusal_of_body("[]"), "the body: is an array, wanted a JSON object");
  EXPECT_EQ(refusal_of_body(R"({"a":":::[[[{{{\"","b":[]})"), "");
}

/// What every stream must keep to, whatever the pieces are.
void check_stream(const Dialect& dialect, const std::string& stream) {
  const std::string name(dialect.name);
  std::string id;
  int64_t open = -1, blocks = 0, sequence = 0;
  std::set<int> with_role;
  std::map<int, std::set<int>> tools;
  for (const Event& event : events(stream)) {
    if (event.data.is_null()) continue;
    EXPECT_FALSE(event.data.contains("error")) << name;
    if (name == "openai-chat") {
      const std::string same = event.data["id"].dump() + event.data["object"].dump() +
                               event.data["created"].dump() + event.data["model"].dump();
      if (id.empty()) id = same;
      EXPECT_EQ(same, id);
      for (const Json& choice : event.data["choices"]) {
        const int index = choice["index"].get<int>();
        if (choice["delta"].contains("role")) {
          EXPECT_TRUE(with_role.insert(index).second);
          EXPECT_EQ(index + 1, static_cast<int>(with_role.size()));
        }
        if (!choice["delta"].contains("tool_calls")) continue;
        const Json& call = choice["delta"]["tool_calls"][0];
        const bool first = tools[index].insert(call["index"].get<int>()).second;
        EXPECT_EQ(first, call.contains("id"));
        EXPECT_EQ(first, call["function"].contains("name"));
        EXPECT_EQ(call["index"].get<size_t>() + 1, tools[index].size());
      }
    } else if (name == "anthropic-messages") {
      EXPECT_EQ(event.name, event.data["type"]);
      if (event.name == "content_block_start") {
        EXPECT_EQ(open, -1);
        EXPECT_EQ(event.data["index"], blocks);
        open = blocks++;
      } else if (event.name == "content_block_delta") {
        EXPECT_EQ(event.data["index"], open);
      } else if (event.name == "content_block_stop") {
        EXPECT_EQ(event.data["index"], open);
        open = -1;
      }
    } else if (name == "openai-responses") {
      EXPECT_EQ(event.name, event.data["type"]);
      EXPECT_EQ(event.data["sequence_number"], sequence++);
      if (event.name == "response.output_item.added") {
        EXPECT_EQ(open, -1);
        EXPECT_EQ(event.data["output_index"], blocks);
        open = blocks++;
      } else if (event.name == "response.output_item.done") {
        EXPECT_EQ(event.data["output_index"], open);
        open = -1;
      } else if (event.data.contains("output_index")) {
        EXPECT_EQ(event.data["output_index"], open);
      }
      if (event.name == "response.completed") {
        EXPECT_EQ(event.data["response"]["output"].size(), static_cast<size_t>(blocks));
      }
    }
  }
  EXPECT_EQ(open, -1) << name;
}

std::vector<Piece> random_pieces(std::mt19937& random) {
  std::vector<Piece> pieces;
  int tool = 0;
  for (int i = 0; i < 12; ++i) {
    switch (random() % 4) {
      case 0:
        pieces.push_back(text(random() % 3 == 0 ? "" : "t\n\n\"data: \xF0\x9F\x98\x80"));
        break;
      case 1:
        pieces.push_back(reasoning("r"));
        break;
      case 2:
        pieces.push_back(scored());
        break;
      default:
        pieces.push_back(tool_begin(tool, "f"));
        if (random() % 2 == 0) pieces.push_back(arguments(tool, "{"));
        if (pieces.back().kind == Piece::Kind::tool_arguments)
          pieces.push_back(arguments(tool, "}"));
        pieces.push_back(tool_end(tool++));
    }
  }
  return pieces;
}

TEST(EveryStream, keeps_its_invariants_whatever_comes) {
  std::mt19937 random(1);
  const std::vector<std::pair<const Dialect*, std::string>> streams = {
      {&kOpenAiChat, R"({"messages":[{"role":"user","content":"x"}],"stream":true})"},
      {&kAnthropicMessages,
       R"({"max_tokens":9,"stream":true,"messages":[{"role":"user","content":"x"}]})"},
      {&kOpenAiResponses, R"({"input":"x","stream":true})"},
      {&kOpenAiCompletions, R"({"prompt":"x","stream":true})"},
      {&kLlamaCompletion, R"({"prompt":"x","stream":true})"}};
  for (int round = 0; round < 50; ++round) {
    const auto pieces = random_pieces(random);
    for (const auto& [dialect, request] : streams) {
      check_stream(*dialect, told(*dialect, request, pieces));
    }
    const auto lines = told(kOllamaChat, R"({"messages":[{"role":"user","content":"x"}]})", pieces);
    for (size_t begin = 0; begin < lines.size();) {
      const size_t end = lines.find('\n', begin);
      const Json line = Json::parse(lines.substr(begin, end - begin));
      EXPECT_EQ(line["message"]["role"], "assistant");
      begin = end + 1;
    }
  }
}

}  // namespace
}  // namespace sluice::server
