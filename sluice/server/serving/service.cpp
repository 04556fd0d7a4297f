#include "sluice/server/serving/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

#include "sluice/base/printable.h"
#include "sluice/residency/machine/memory.h"
#include "sluice/server/answers/answer_id.h"
#include "sluice/server/dialects/fields.h"
#include "sluice/server/serving/routes.h"

namespace sluice::server {
namespace {

constexpr int kClientLeft = 499;  // as nginx logs it

std::string_view api_of(std::string_view path) {
  if (path.starts_with("/v1/messages")) return "anthropic";
  if (path.starts_with("/api/") && !path.starts_with("/api/v0/")) return "ollama";
  if (path.starts_with("/api/v0/")) return "lmstudio";
  const auto is = [&](std::initializer_list<std::string_view> paths) {
    return std::ranges::find(paths, path) != paths.end();
  };
  if (path.starts_with("/v1/") || is({"/chat/completions", "/completions", "/fim/completions",
                                      "/responses", "/embeddings", "/models"}))
    return "openai";
  if (is({"/completion", "/infill", "/apply-template", "/tokenize", "/detokenize", "/props",
          "/slots"}))
    return "llama";
  return "other";  // the page, and what watches the server
}

std::string error_text(std::string_view path, const Refusal& refusal, const std::string& id) {
  const std::string_view api = api_of(path);
  if (api == "anthropic") return anthropic_error(refusal, id);
  if (api == "ollama") return ollama_error(refusal, id);
  return openai_error(refusal, id);
}

std::string_view to_string(Progress::State state) {
  switch (state) {
    case Progress::State::waiting:
      return "waiting";
    case Progress::State::prefill:
      return "prefill";
    case Progress::State::decode:
      return "decode";
  }
  return "";
}

std::string_view to_string(Format::Kind kind) {
  switch (kind) {
    case Format::Kind::text:
      return "text";
    case Format::Kind::json:
      return "json";
    case Format::Kind::json_schema:
      return "json_schema";
    case Format::Kind::regex:
      return "regex";
    case Format::Kind::lark:
      return "lark";
    case Format::Kind::gbnf:
      return "gbnf";
  }
  return "";
}

/// What one of an answer's generations does; never what it says. Some names are llama-server's.
Json slot_of(size_t id, const Answer& answer, const Progress& progress) {
  const Ask& ask = answer.ask();
  const decode::SamplerConfig& sampling = ask.sampling;
  return {{"id", id},
          {"is_processing", true},
          {"request", answer.request().id},
          {"client", answer.request().client},
          {"path", answer.request().head.path},
          {"model", answer.model_name()},
          {"state", to_string(progress.state)},
          {"prompt_tokens", progress.prompt_tokens},
          {"cached_tokens", progress.cached_tokens},
          {"prompt_done", progress.prompt_done},
          {"generated", progress.generated},
          {"max_tokens", progress.max_tokens},
          {"seconds", progress.seconds},
          {"n_ctx", answer.context()},
          {"stream", ask.stream},
          {"format", to_string(ask.format.kind)},
          {"params",
           {{"temperature", sampling.temperature},
            {"top_k", sampling.top_k},
            {"top_p", sampling.top_p},
            {"min_p", sampling.min_p}}}};
}

/// A full queue, in every API: clients wait and ask again for 429, as for 503, and it does not look as if the server
/// were down.
Refusal too_busy(int64_t most) {
  Refusal refusal(
      429, fmt::format("{} answers are on their way, which is the most; try again soon", most));
  refusal.code = "rate_limit_exceeded";
  refusal.retry_after = 1;
  return refusal;
}

/// Counts one up while an answer is begun; keep() leaves it so.
class Counted {
 public:
  Counted(std::atomic<int64_t>& count, int64_t n, int64_t most) : count_(count), n_(n) {
    if (n > most) {
      throw Refusal::field(
          "n", fmt::format("n: asks for {} answers, at most {} are given at once", n, most));
    }
    if (count_.fetch_add(n_) + n_ > most) {
      count_ -= n_;
      throw Refusal(too_busy(most));
    }
  }
  ~Counted() { count_ -= n_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  void keep() { n_ = 0; }

 private:
  std::atomic<int64_t>& count_;
  int64_t n_;
};

}  // namespace

Service::Service(Models& models, ServiceOptions options)
    : models_(models),
      options_(std::move(options)),
      metrics_(options_.version),
      responses_(options_.responses),
      pulls_([this](const HttpRequest& request, const Refusal& refusal) {
        return refuse(request, refusal);
      }) {
  if (options_.ram) metrics_.set_budget(static_cast<double>(options_.ram->count));
}

Service::~Service() = default;

void Service::handle(const std::shared_ptr<Exchange>& exchange) {
  const RequestHead& head = exchange->request().head;
  if (const Route* route = find_route(head.method, head.path)) {
    route->serve(*this, exchange);
    return;
  }
  const std::string methods = methods_of(head.path);
  if (head.method == "OPTIONS") {
    const std::string allowed = methods.empty() ? "OPTIONS" : methods + ", OPTIONS";
    exchange->reply({.content_type = {}, .headers = {{"Allow", allowed}}});
    return;
  }
  if (methods.empty()) throw Refusal(404, "there is nothing at " + printable_name(head.path));
  Reply reply = refuse(head, Refusal(405, head.path + " takes " + methods), exchange->request().id);
  reply.headers.emplace_back("Allow", methods + ", OPTIONS");
  exchange->reply(std::move(reply));
}

void Service::answer(const std::shared_ptr<Exchange>& exchange, const Dialect& dialect) {
  const Json body = parse_body(exchange->request().body, options_.read.limits);
  Asked asked = dialect.read(body, options_.read);
  if (asked.ask.job == Job::load || asked.ask.job == Job::unload) {
    exchange->reply(load_or_unload(asked));
    return;
  }
  go_on(exchange->request(), asked);
  if (options_.isolates_clients) {
    asked.ask.cache_salt = exchange->request().client + "\n" + asked.ask.cache_salt;
    asked.ask.uses_disk_cache = false;  // clients are told apart as long as the server runs
  }
  Counted counted(n_answers_, asked.ask.n_choices(), options_.most_answers);
  const auto model = models_.get(asked.ask.model);
  const bool generates = asked.ask.job == Job::answer;
  const auto answer = std::make_shared<Answer>(exchange, model, std::move(asked),
                                               static_cast<Answer::Observer&>(*this));
  answer->begin();
  if (!generates) return;
  counted.keep();
  metrics_.set_running(n_answers_);
  const std::lock_guard lock(mutex_);
  std::erase_if(answers_, [](const auto& other) { return other.expired(); });
  answers_.push_back(answer);
}

void Service::embed(const std::shared_ptr<Exchange>& exchange, ReadEmbed read) {
  EmbedAsk ask = read(parse_body(exchange->request().body, options_.read.limits), options_.read);
  Counted counted(n_answers_, 1, options_.most_answers);
  const auto model = models_.get(ask.model);
  std::make_shared<Embedding>(exchange, model, std::move(ask),
                              static_cast<Embedding::Observer&>(*this))
      ->begin();
  counted.keep();
  metrics_.set_running(n_answers_);
}

void Service::pull(const std::shared_ptr<Exchange>& exchange) {
  if (!options_.allow_pull)
    throw Refusal(403,
                  "models are not pulled over the network here: `sluice pull` does it, or "
                  "`sluice serve --allow-pull`");
  pulls_.begin(exchange,
               read_ollama_pull(parse_body(exchange->request().body, options_.read.limits)));
}

/// Puts the conversation that goes on before what was asked, and notes it for what comes after.
void Service::go_on(const HttpRequest& request, Asked& asked) {
  auto* chat = std::get_if<Ask::Chat>(&asked.ask.prompt);
  if (chat == nullptr) return;
  if (const std::string& id = asked.ask.previous_response; !id.empty()) {
    const auto previous = responses_.find(request.client, id);
    if (!previous) {
      throw Refusal::field("previous_response_id",
                           fmt::format("previous_response_id: there is no response '{}' (any "
                                       "more); send the whole input",
                                       printable_name(id)),
                           "previous_response_not_found");
    }
    go_on_with(*chat, conversation_behind(*previous));
  }
  if (asked.kept) asked.kept->messages = conversation_of(*chat);
}

namespace {

Refusal no_response(const std::string& id) {
  return Refusal(404, "there is no response '" + printable_name(id) + "'");
}

}  // namespace

Reply Service::show_response(const HttpRequest& request, const std::string& id) {
  const auto response = responses_.find(request.client, id);
  if (!response) throw no_response(id);
  return {.body = dump(response->response)};
}

Reply Service::forget_response(const HttpRequest& request, const std::string& id) {
  if (!responses_.remove(request.client, id)) throw no_response(id);
  return {.body = dump({{"id", id}, {"object", "response"}, {"deleted", true}})};
}

Reply Service::load_or_unload(const Asked& asked) {
  if (asked.ask.job == Job::load) {
    const std::string name = models_.get(asked.ask.model)->name();
    models_.note_use(name, asked.ask.keep_alive_seconds);
  } else {
    models_.unload(asked.ask.model);
  }
  std::string out;
  asked.writer->begin(
      {.id = new_id(), .created = std::time(nullptr), .model = models_.info(asked.ask.model).id},
      out);
  asked.writer->finish({}, out);
  return {.content_type = asked.writer->content_type(), .body = std::move(out)};
}

Reply Service::refuse(const RequestHead& head, const Refusal& refusal,
                      const std::string& id) const {
  Reply reply{.status = refusal.status, .body = error_text(head.path, refusal, id)};
  if (refusal.retry_after)
    reply.headers.emplace_back("Retry-After", std::to_string(*refusal.retry_after));
  if (refusal.status == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  // Clients send again what failed with 500 unless told that it fails again.
  if (refusal.status == 500 || refusal.status == 501)
    reply.headers.emplace_back("x-should-retry", "false");
  return reply;
}

Reply Service::refuse(const HttpRequest& request, const Refusal& refusal) {
  return refuse(request.head, refusal, request.id);
}

bool Service::is_public(const RequestHead& head) const {
  const Route* route = find_route(head.method, head.path);
  return route != nullptr && route->is_public;
}

void Service::on_done(const ExchangeRecord& record) {
  const RequestHead& head = record.request->head;
  const int status = record.gone ? kClientLeft : record.status;
  metrics_.count_request(api_of(head.path), status);
  if (head.path == "/api/hello") return;
  log("request", *record.request,
      {{"client", record.request->client},
       {"method", head.method},
       {"path", head.path},
       {"status", status},
       {"seconds", record.seconds},
       {"bytes", record.sent_bytes}});
}

void Service::log(std::string_view event, const HttpRequest& request, const Json& fields) const {
  if (!options_.log) return;
  Json all{{"request_id", request.id},
           {"trace_id", request.trace.trace_id},
           {"span_id", request.trace.parent_id}};
  all.update(fields);
  options_.log(log_line(options_.log_format, event, all));
}

void Service::on_prompt(const Answer& answer, std::string_view prompt) {
  if (options_.log_prompts) log("prompt", answer.request(), {{"prompt", prompt}});
}

void Service::on_first_token(double seconds) { metrics_.note_first_token(seconds); }
void Service::on_next_token(double seconds) { metrics_.note_next_token(seconds); }

void Service::on_end(const Answer& answer) {
  n_answers_ -= answer.n();
  metrics_.set_running(n_answers_);
  models_.note_use(answer.model_name(), answer.ask().keep_alive_seconds);
  const Usage& usage = answer.usage();
  metrics_.count_tokens(usage);
  if (const auto& kept = answer.kept(); kept && !kept->response.is_null())
    responses_.keep(answer.request().client, *kept);
  log("answer", answer.request(),
      {{"model", answer.model_name()},
       {"prompt_tokens", usage.prompt_tokens},
       {"cached_tokens", usage.cached_tokens},
       {"completion_tokens", usage.completion_tokens},
       {"queued_seconds", usage.queued_seconds},
       {"prefill_seconds", usage.prefill_seconds},
       {"decode_seconds", usage.decode_seconds}});
}

void Service::on_end(const Embedding& embedding) {
  metrics_.set_running(--n_answers_);
  models_.note_use(embedding.model_name(), std::nullopt);
  const Usage& usage = embedding.usage();
  metrics_.count_tokens(usage);
  log("embedding", embedding.request(),
      {{"model", embedding.model_name()},
       {"texts", embedding.n()},
       {"prompt_tokens", usage.prompt_tokens},
       {"queued_seconds", usage.queued_seconds},
       {"prefill_seconds", usage.prefill_seconds}});
}

Reply Service::show_readiness() const {
  const auto infos = models_.list();
  const bool ready = std::ranges::any_of(
      infos, [](const ModelInfo& info) { return info.state == ModelInfo::State::loaded; });
  if (!ready) return {.status = 503, .body = R"({"status":"loading"})"};
  return {.body = R"({"status":"ok"})"};
}

namespace {

Metrics::ModelTotals totals_of(const engine::Engine& engine) {
  Metrics::ModelTotals totals;
  if (const auto streaming = engine.statistics()) {
    totals.weights_read = static_cast<double>(streaming->reads.bytes);
    totals.expert_hits = static_cast<double>(streaming->experts.hits);
    totals.expert_misses = static_cast<double>(streaming->experts.misses + streaming->experts.late);
  }
  if (const auto disk = engine.disk_cache())
    totals.prompts_written = static_cast<double>(disk->written.count);
  return totals;
}

}  // namespace

Reply Service::show_metrics() {
  double kv = 0, experts = 0;
  int64_t waiting = 0;
  for (const auto& model : models_.loaded()) {
    const engine::Engine& engine = model->engine();
    kv += static_cast<double>(engine.kv_bytes().count);
    if (const auto* plan = engine.plan())
      experts +=
          static_cast<double>(plan->per_slot.count) * static_cast<double>(plan->expert_slots);
    waiting += engine.scheduler().waiting;
    metrics_.count_model(model->name(), totals_of(engine));
  }
  metrics_.set_waiting(waiting);
  metrics_.set_memory("kv", kv);
  metrics_.set_memory("experts", experts);
  const auto whole = static_cast<double>(residency::memory_state().resident.count);
  metrics_.set_memory("other", std::max(0.0, whole - kv - experts));
  return {.content_type = Metrics::kContentType, .body = metrics_.text()};
}

namespace {

/// The number in "steps=N"; nullopt where the query has no such thing. Throws Refusal where it is none.
std::optional<int64_t> steps_wanted(std::string_view query) {
  constexpr std::string_view kName = "steps=";
  while (!query.empty() && !query.starts_with(kName)) {
    const size_t next = std::min(query.find('&'), query.size() - 1);
    query.remove_prefix(next + 1);
  }
  if (query.empty()) return std::nullopt;
  const std::string_view value = query.substr(kName.size(), query.find('&') - kName.size());
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < 0)
    throw Refusal(400, "steps: wanted the number of the last step that is known, 0 for none");
  return number;
}

/// Of all models, the newest 512.
Json steps_of(const std::vector<std::shared_ptr<ServedModel>>& models, int64_t after) {
  std::vector<engine::StepRecord> records;
  for (const auto& model : models) {
    const auto more = model->engine().steps_after(after);
    records.insert(records.end(), more.begin(), more.end());
  }
  std::ranges::sort(records, {}, &engine::StepRecord::number);
  if (records.size() > engine::StepLog::kMost)
    records.erase(records.begin(), records.end() - engine::StepLog::kMost);
  Json steps = Json::array();
  for (const engine::StepRecord& step : records)
    steps.push_back({{"seq", step.number},
                     {"at_ms", static_cast<double>(step.number) / 1e3},
                     {"ms", step.ms},
                     {"decode_rows", step.decode_rows},
                     {"prefill_tokens", step.prefill_tokens},
                     {"waiting", step.waiting}});
  return steps;
}

}  // namespace

Reply Service::show_slots(const HttpRequest& request) const {
  const auto steps = steps_wanted(request.head.query);
  Json slots = Json::array();
  {
    const std::lock_guard lock(mutex_);
    for (const auto& weak : answers_) {
      const auto answer = weak.lock();
      if (!answer) continue;
      for (const Progress& progress : answer->progress())
        slots.push_back(slot_of(slots.size(), *answer, progress));
    }
  }
  if (!steps) return {.body = dump(slots)};
  return {.body =
              dump({{"slots", std::move(slots)}, {"steps", steps_of(models_.loaded(), *steps)}})};
}

}  // namespace sluice::server
