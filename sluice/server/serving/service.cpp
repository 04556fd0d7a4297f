#include "sluice/server/serving/service.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "sluice/base/printable.h"
#include "sluice/residency/machine/memory.h"
#include "sluice/server/answers/answer_id.h"
#include "sluice/server/serving/routes.h"

namespace sluice::server {
namespace {

constexpr int kClientLeft = 499;  // as nginx logs it

std::string_view api_of(std::string_view path) {
  if (path.starts_with("/v1/messages")) return "anthropic";
  if (path.starts_with("/api/") && !path.starts_with("/api/v0/")) return "ollama";
  if (path.starts_with("/v1/") || path.starts_with("/api/v0/") || path == "/chat/completions")
    return "openai";
  return "other";
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

/// Counts one up while an answer is begun; keep() leaves it so.
class Counted {
 public:
  Counted(std::atomic<int64_t>& count, int64_t n, int64_t most) : count_(count), n_(n) {
    if (count_.fetch_add(n_) + n_ > most) {
      count_ -= n_;
      Refusal refusal(503, "too many answers are on their way; try again soon");
      refusal.code = "overloaded";
      refusal.retry_after = 1;
      throw Refusal(refusal);
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
    : models_(models), options_(std::move(options)), metrics_(options_.version) {}

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
  Counted counted(n_answers_, asked.ask.n, options_.most_answers);
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

Reply Service::load_or_unload(const Asked& asked) {
  if (asked.ask.job == Job::load) {
    models_.get(asked.ask.model);
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
  if (!options_.log || head.path == "/api/hello") return;
  options_.log(fmt::format("{} {} {} {} {:.3f} s, {} bytes, {}", record.request->client,
                           head.method, printable_name(head.path), status, record.seconds,
                           record.sent_bytes, record.request->id));
}

void Service::on_first_token(double seconds) { metrics_.note_first_token(seconds); }
void Service::on_next_token(double seconds) { metrics_.note_next_token(seconds); }

void Service::on_end(const Answer& answer) {
  n_answers_ -= answer.n();
  metrics_.set_running(n_answers_);
  metrics_.count_tokens(answer.usage());
}

Reply Service::show_readiness() const {
  const auto infos = models_.list();
  const bool ready = std::ranges::any_of(
      infos, [](const ModelInfo& info) { return info.state == ModelInfo::State::loaded; });
  if (!ready) return {.status = 503, .body = R"({"status":"loading"})"};
  return {.body = R"({"status":"ok"})"};
}

Reply Service::show_metrics() {
  double kv = 0;
  for (const auto& model : models_.loaded())
    kv += static_cast<double>(model->engine().kv_bytes().count);
  metrics_.set_memory("kv", kv);
  const auto whole = static_cast<double>(residency::memory_state().resident.count);
  metrics_.set_memory("other", std::max(0.0, whole - kv));
  return {.content_type = Metrics::kContentType, .body = metrics_.text()};
}

Reply Service::show_slots() const {
  Json slots = Json::array();
  const std::lock_guard lock(mutex_);
  for (const auto& weak : answers_) {
    const auto answer = weak.lock();
    if (!answer) continue;
    for (const Progress& progress : answer->progress()) {
      slots.push_back({{"id", slots.size()},
                       {"request", answer->request().id},
                       {"model", answer->model_name()},
                       {"state", to_string(progress.state)},
                       {"prompt_tokens", progress.prompt_tokens},
                       {"cached_tokens", progress.cached_tokens},
                       {"prompt_done", progress.prompt_done},
                       {"generated", progress.generated},
                       {"max_tokens", progress.max_tokens},
                       {"seconds", progress.seconds}});
    }
  }
  return {.body = slots.dump()};
}

}  // namespace sluice::server
