#include "python/bindings/tokenizer.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace sluice::python {
namespace {

namespace nb = nanobind;
using Json = nlohmann::ordered_json;
using Tokens = std::vector<text::Token>;

Tokens encode(const Tokenizer& tokenizer, std::string_view text, bool add_special_tokens,
              bool parse_special) {
  const nb::gil_scoped_release no_gil;
  return tokenizer->encode(text, {.add_bos = add_special_tokens, .parse_special = parse_special});
}

std::string decode(const Tokenizer& tokenizer, const Tokens& tokens, bool skip_special_tokens) {
  const nb::gil_scoped_release no_gil;
  return tokenizer->decode(tokens, !skip_special_tokens);
}

/// The arguments as JSON, for Python writes it: objects keep the order of their keys. source: "" for the model's own
/// template. Throws as ChatTemplate::render().
text::RenderedPrompt render(const Tokenizer& tokenizer, const std::string& messages,
                            const std::string& tools, const std::string& args, bool answers,
                            const std::string& source) {
  const nb::gil_scoped_release no_gil;
  const auto given = source.empty() ? std::optional<text::ChatTemplate>{}
                                    : text::ChatTemplate::from_source(source, "chat_template");
  const text::ChatTemplate* const chat = given ? &*given : tokenizer.engine->chat_template();
  if (chat == nullptr)
    fail(ErrorKind::bad_request, "this model has no chat template; give one as chat_template");
  return chat->render(Json::parse(messages), Json::parse(tools), Json::parse(args), answers,
                      *tokenizer);
}

nb::object token_named(const Tokenizer& tokenizer, std::string_view name) {
  for (const text::NamedToken& token : tokenizer->named_tokens()) {
    if (token.name == name) return nb::cast(token.text);
  }
  return nb::none();
}

}  // namespace

void bind_tokenizer(nb::module_& module) {
  nb::class_<Tokenizer>(module, "Tokenizer")
      .def("encode", &encode)
      .def("decode", &decode)
      .def("render",
           [](const Tokenizer& t, const std::string& messages, const std::string& tools,
              const std::string& args, bool answers, const std::string& source) {
             return render(t, messages, tools, args, answers, source).text;
           })
      .def("encode_chat",
           [](const Tokenizer& t, const std::string& messages, const std::string& tools,
              const std::string& args, bool answers, const std::string& source) {
             return t->encode(render(t, messages, tools, args, answers, source));
           })
      .def("token_id", [](const Tokenizer& t, std::string_view text) { return t->token_id(text); })
      .def("token_bytes",
           [](const Tokenizer& t, text::Token token) {
             const std::string bytes = t->token_bytes(token, true);
             return nb::bytes(bytes.data(), bytes.size());
           })
      .def("token_named", &token_named)
      .def_prop_ro("vocab_size", [](const Tokenizer& t) { return t->vocab_size(); })
      .def_prop_ro("bos", [](const Tokenizer& t) { return t->bos(); })
      .def_prop_ro("eos", [](const Tokenizer& t) { return t->eos(); });
}

}  // namespace sluice::python
