#include "sluice/server/serving/routes.h"

#include <algorithm>
#include <utility>

#include "sluice/base/printable.h"
#include "sluice/server/dialects/data_asks.h"
#include "sluice/server/page/page.h"

namespace sluice::server {
namespace {

using ExchangePtr = std::shared_ptr<Exchange>;

Json body_of(const HttpRequest& request, const ReadOptions& options) {
  return parse_body(request.body, options.limits);
}

/// What stands for '*' in a route's path.
std::string_view rest_of(const HttpRequest& request, std::string_view before) {
  return std::string_view(request.head.path).substr(before.size());
}

/// A file of the page, as its README wants it sent.
Reply show_page(const HttpRequest& request) {
  const auto file = page_file(request.head.path);
  if (!file) throw Refusal(404, "there is nothing at " + printable_name(request.head.path));
  Reply reply{.content_type = std::string(file->content_type),
              .body = std::string(file->bytes),
              .headers = {{"ETag", std::string(file->etag)},
                          {"Cache-Control", "no-cache"},
                          {"Referrer-Policy", "no-referrer"},
                          {"Cross-Origin-Opener-Policy", "same-origin"},
                          {"Cross-Origin-Resource-Policy", "same-origin"},
                          {"Content-Security-Policy", std::string(page_policy)}}};
  if (request.head.header("if-none-match") == file->etag) {
    reply.status = 304;
    reply.body.clear();
  }
  return reply;
}

/// The page for people, a sentence for Ollama's clients, who only look whether somebody is there.
Reply greet(const HttpRequest& request) {
  const std::string_view accepted = request.head.header("accept").value_or("");
  if (accepted.find("text/html") != accepted.npos) return show_page(request);
  return {.content_type = "text/plain; charset=utf-8",
          .body = "Ollama is running",
          .headers = {{"Vary", "Accept"}}};
}

[[noreturn]] void refuse_storage(const ExchangePtr&) {
  throw Refusal(501,
                "models are not changed over the network: `sluice pull` and `sluice rm` do it");
}

bool matches(std::string_view pattern, std::string_view path) {
  if (!pattern.ends_with("/*")) return pattern == path;
  pattern.remove_suffix(1);
  return path.size() > pattern.size() && path.starts_with(pattern);
}

}  // namespace

const std::vector<Service::Route>& Service::routes() {
  const auto ask = [](const Dialect& dialect) {
    return [&dialect](Service& s, const ExchangePtr& e) { s.answer(e, dialect); };
  };
  const auto reply = [](auto make) {
    return [make](Service& s, const ExchangePtr& e) { e->reply(make(s, e->request())); };
  };
  const auto models = reply([](Service& s, const HttpRequest&) {
    return Reply{.body = models_body(s.models_.list_with_aliases())};
  });
  const auto nothing_here = [](Service&, const ExchangePtr& e) { refuse_storage(e); };
  const auto embed = [](ReadEmbed read) {
    return [read](Service& s, const ExchangePtr& e) { s.embed(e, read); };
  };
  static const std::vector<Route> table{
      {"POST", "/v1/chat/completions", ask(kOpenAiChat)},
      {"POST", "/chat/completions", ask(kOpenAiChat)},
      {"POST", "/v1/chat/completions/input_tokens", ask(kOpenAiChatTokens)},
      {"POST", "/v1/completions", ask(kOpenAiCompletions)},
      {"POST", "/completions", ask(kOpenAiCompletions)},
      {"POST", "/v1/fim/completions", ask(kMistralFim)},
      {"POST", "/fim/completions", ask(kMistralFim)},
      {"POST", "/v1/responses", ask(kOpenAiResponses)},
      {"POST", "/responses", ask(kOpenAiResponses)},
      {"POST", "/v1/responses/input_tokens", ask(kOpenAiResponsesTokens)},
      {"GET", "/v1/responses/*", reply([](Service& s, const HttpRequest& r) {
         return s.show_response(r, std::string(rest_of(r, "/v1/responses/")));
       })},
      {"DELETE", "/v1/responses/*", reply([](Service& s, const HttpRequest& r) {
         return s.forget_response(r, std::string(rest_of(r, "/v1/responses/")));
       })},
      {"POST", "/v1/messages", ask(kAnthropicMessages)},
      {"POST", "/v1/messages/count_tokens", ask(kAnthropicTokens)},
      {"POST", "/api/chat", ask(kOllamaChat)},
      {"POST", "/api/generate", ask(kOllamaGenerate)},
      {"POST", "/api/v0/chat/completions", ask(kLmStudioChat)},
      {"POST", "/api/v0/completions", ask(kLmStudioCompletions)},
      {"POST", "/completion", ask(kLlamaCompletion)},
      {"POST", "/infill", ask(kLlamaInfill)},
      {"POST", "/apply-template", ask(kLlamaApplyTemplate)},

      {"GET", "/v1/models", models},
      {"GET", "/models", models},
      {"GET", "/v1/models/*", reply([](Service& s, const HttpRequest& r) {
         return Reply{.body = model_body(s.models_.info(rest_of(r, "/v1/models/")))};
       })},
      {"GET", "/api/v0/models", reply([](Service& s, const HttpRequest&) {
         return Reply{.body = lmstudio_models_body(s.models_.list())};
       })},
      {"GET", "/api/v0/models/*", reply([](Service& s, const HttpRequest& r) {
         return Reply{.body = lmstudio_model_body(s.models_.info(rest_of(r, "/api/v0/models/")))};
       })},
      {"GET", "/api/tags", reply([](Service& s, const HttpRequest&) {
         return Reply{.body = ollama_tags_body(s.models_.list())};
       })},
      {"GET", "/api/ps", reply([](Service& s, const HttpRequest&) {
         return Reply{.body = ollama_ps_body(s.models_.list())};
       })},
      {"GET", "/api/version",
       reply([](Service&, const HttpRequest&) { return Reply{.body = ollama_version_body()}; })},
      {"POST", "/api/show", reply([](Service& s, const HttpRequest& r) {
         const std::string name = read_ollama_show(body_of(r, s.options_.read));
         return Reply{.body = ollama_show_body(s.models_.get(name)->info())};
       })},
      {"GET", "/props", reply([](Service& s, const HttpRequest&) {
         return Reply{.body = llama_props_body(s.models_.get("")->info(),
                                               static_cast<int>(s.options_.most_answers))};
       })},

      {"POST", "/tokenize", reply([](Service& s, const HttpRequest& r) { return s.tokenize(r); })},
      {"POST", "/detokenize",
       reply([](Service& s, const HttpRequest& r) { return s.detokenize(r); })},
      {"POST", "/v1/embeddings", embed(read_openai_embeddings)},
      {"POST", "/embeddings", embed(read_openai_embeddings)},
      {"POST", "/api/v0/embeddings", embed(read_openai_embeddings)},
      {"POST", "/api/embed", embed(read_ollama_embed)},
      {"POST", "/api/embeddings", embed(read_ollama_embeddings)},
      {"POST", "/api/pull", [](Service& s, const ExchangePtr& e) { s.pull(e); }},
      {"POST", "/api/push", nothing_here},
      {"POST", "/api/create", nothing_here},
      {"POST", "/api/copy", nothing_here},
      {"DELETE", "/api/delete", nothing_here},

      {"GET", "/", reply([](Service&, const HttpRequest& r) { return greet(r); }), true},
      {"GET", "/favicon.ico", reply([](Service&, const HttpRequest& r) { return show_page(r); }),
       true},
      {"GET", "/page/*", reply([](Service&, const HttpRequest& r) { return show_page(r); }), true},
      {"GET", "/api/hello",
       reply([](Service&, const HttpRequest&) { return Reply{.content_type = {}}; }), true},
      {"GET", "/health",
       reply([](Service&, const HttpRequest&) { return Reply{.body = R"({"status":"ok"})"}; }),
       true},
      {"GET", "/ready", reply([](Service& s, const HttpRequest&) { return s.show_readiness(); }),
       true},
      {"GET", "/version", reply([](Service& s, const HttpRequest&) {
         return Reply{.body = Json{{"version", s.options_.version}}.dump()};
       })},
      {"GET", "/metrics", reply([](Service& s, const HttpRequest&) { return s.show_metrics(); })},
      {"GET", "/slots", reply([](Service& s, const HttpRequest& r) { return s.show_slots(r); })},
  };
  return table;
}

const Service::Route* Service::find_route(std::string_view method, std::string_view path) {
  if (method == "HEAD") method = "GET";
  for (const Route& route : routes()) {
    if (route.method == method && matches(route.path, path)) return &route;
  }
  return nullptr;
}

std::string Service::methods_of(std::string_view path) {
  std::string methods;
  for (const Route& route : routes()) {
    if (!matches(route.path, path)) continue;
    if (!methods.empty()) methods += ", ";
    methods += route.method;
    if (route.method == "GET") methods += ", HEAD";
  }
  return methods;
}

Reply Service::tokenize(const HttpRequest& request) {
  const TokenizeAsk ask = read_tokenize(body_of(request, options_.read), options_.read);
  const auto model = models_.get(ask.model);
  const text::Tokenizer& tokenizer = model->engine().tokenizer();
  std::vector<ScoredToken> tokens;
  for (const text::Token token : tokenizer.encode(
           ask.content, {.add_bos = ask.add_special, .parse_special = ask.parse_special})) {
    tokens.push_back({.id = token, .bytes = tokenizer.token_bytes(token, true)});
  }
  return {.body = tokenize_body(ask, tokens, model->info().context)};
}

Reply Service::detokenize(const HttpRequest& request) {
  const DetokenizeAsk ask = read_detokenize(body_of(request, options_.read), options_.read);
  const auto model = models_.get(ask.model);
  model->engine().check_ids(ask.tokens);
  return {.body = detokenize_body(model->engine().tokenizer().decode(ask.tokens, true))};
}

}  // namespace sluice::server
