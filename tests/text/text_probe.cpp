// Lets Python tests drive sluice/text: one JSON request a line on stdin, one JSON answer a line on stdout.
//   {"open": PATH}                       a directory or a .gguf file, for the requests after it
//   {"encode": TEXT, "add_bos": BOOL, "parse_special": BOOL}
//   {"decode": [ID...], "keep_special": BOOL}      {"stream": [ID...]}
//   {"render": MESSAGES, "template": TEXT or null, "tools":, "args":, "add_generation_prompt":}
//   the same with "prompt" for "render": {"text":, "trusted": [[begin, end]...], "tokens":}
// A failure answers {"error": TEXT}.
#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/io/formats/gguf.h"
#include "sluice/text/chat_template.h"
#include "sluice/text/tokenizer.h"

namespace {

using Json = nlohmann::ordered_json;
using sluice::text::ChatTemplate;
using sluice::text::Detokenizer;
using sluice::text::Token;
using sluice::text::Tokenizer;

std::unique_ptr<Tokenizer> tokenizer;
std::optional<ChatTemplate> chat_template;

Json open(const std::filesystem::path& path) {
  const auto start = std::chrono::steady_clock::now();
  if (path.extension() == ".gguf") {
    const auto gguf = sluice::io::open_gguf(path);
    tokenizer = Tokenizer::from_gguf(gguf);
    chat_template = ChatTemplate::from_gguf(gguf);
  } else {
    tokenizer = Tokenizer::from_directory(path);
    chat_template = ChatTemplate::from_directory(path);
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  const auto bos = tokenizer->bos();
  Json named = Json::object();
  for (const auto& token : tokenizer->named_tokens()) named[token.name] = token.text;
  return {{"vocab_size", tokenizer->vocab_size()},
          {"bos", bos ? Json(*bos) : Json()},
          {"adds_bos", tokenizer->adds_bos()},
          {"eos", tokenizer->eos()},
          {"named", named},
          {"has_template", chat_template.has_value()},
          {"open_ms", took.count()}};
}

ChatTemplate template_of(const Json& request) {
  const auto& source = request.at("template");
  return source.is_null() ? chat_template.value() : ChatTemplate::from_source(source, "template");
}

Json render(const Json& request) {
  return template_of(request).render(request.at("render"), request.value("tools", Json()),
                                     request.value("args", Json::object()),
                                     request.value("add_generation_prompt", false));
}

/// As a chat does it: with what the tokenizer knows of special tokens.
Json prompt(const Json& request) {
  const auto prompt = template_of(request).render(
      request.at("prompt"), request.value("tools", Json()), request.value("args", Json::object()),
      request.value("add_generation_prompt", false), *tokenizer);
  Json trusted = Json::array();
  for (const auto& span : prompt.trusted) trusted.push_back({span.begin, span.end});
  return {{"text", prompt.text}, {"trusted", trusted}, {"tokens", tokenizer->encode(prompt)}};
}

Json answer(const Json& request) {
  if (request.contains("open")) return open(request["open"].get<std::string>());
  if (request.contains("render")) return render(request);
  if (!tokenizer) throw std::runtime_error("nothing is open");
  if (request.contains("prompt")) return prompt(request);
  if (request.contains("encode"))
    return tokenizer->encode(request["encode"].get<std::string>(),
                             {.add_bos = request.value("add_bos", false),
                              .parse_special = request.value("parse_special", true)});
  if (request.contains("decode"))
    return tokenizer->decode(request["decode"].get<std::vector<Token>>(),
                             request.value("keep_special", false));
  if (request.contains("stream")) {
    Detokenizer detokenizer(*tokenizer);
    Json pieces = Json::array();
    for (const Token token : request["stream"].get<std::vector<Token>>())
      pieces.push_back(detokenizer.push(token));
    pieces.push_back(detokenizer.finish());
    return pieces;
  }
  throw std::runtime_error("unknown request");
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    try {
      std::cout << answer(Json::parse(line)).dump() << std::endl;
    } catch (const std::exception& error) {
      std::cout << Json{{"error", error.what()}}.dump() << std::endl;
    }
  }
}
