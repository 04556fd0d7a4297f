#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/http/exchange.h"
#include "sluice/server/serving/answer.h"
#include "sluice/server/serving/embedding.h"
#include "sluice/server/serving/log_line.h"
#include "sluice/server/serving/metrics.h"
#include "sluice/server/serving/models.h"
#include "sluice/server/serving/pulls.h"
#include "sluice/server/serving/response_store.h"

namespace sluice::server {

struct ServiceOptions {
  ReadOptions read = {};
  int64_t most_answers = 256;  ///< on their way at once; one more is a 429
  std::string version = {};
  /// Hears a line about each request, and one about each answer; null: nobody does. On any thread, quickly.
  std::function<void(std::string_view)> log = nullptr;
  LogFormat log_format = LogFormat::text;
  ResponseStore::Options responses = {};
  std::optional<Bytes> ram = std::nullopt;  ///< of all models, for those who watch
  bool isolates_clients = false;            ///< what is cached for one is not used for another
  bool allow_pull = false;                  ///< clients may have models pulled
  bool log_prompts = false;                 ///< and one with what the model is told
};

/// What the server does with a request: routes, models, answers.
class Service : public HttpHandler, private Answer::Observer, private Embedding::Observer {
 public:
  Service(Models& models, ServiceOptions options);
  ~Service() override;

  void handle(const std::shared_ptr<Exchange>& exchange) override;
  Reply refuse(const RequestHead& head, const Refusal& refusal,
               const std::string& id) const override;
  bool is_public(const RequestHead& head) const override;
  void on_done(const ExchangeRecord& record) override;

 private:
  struct Route;
  static const std::vector<Route>& routes();  // routes.cpp
  static const Route* find_route(std::string_view method, std::string_view path);
  /// "GET, HEAD", empty where there is no such path.
  static std::string methods_of(std::string_view path);

  void answer(const std::shared_ptr<Exchange>& exchange, const Dialect& dialect);
  using ReadEmbed = EmbedAsk (*)(const Json& body, const ReadOptions& options);
  void embed(const std::shared_ptr<Exchange>& exchange, ReadEmbed read);
  void pull(const std::shared_ptr<Exchange>& exchange);
  void go_on(const HttpRequest& request, Asked& asked);
  Reply show_response(const HttpRequest& request, const std::string& id);
  Reply forget_response(const HttpRequest& request, const std::string& id);
  Reply load_or_unload(const Asked& asked);
  Reply show_readiness() const;
  Reply show_metrics();
  Reply show_slots(const HttpRequest& request) const;
  Reply tokenize(const HttpRequest& request);
  Reply detokenize(const HttpRequest& request);

  void log(std::string_view event, const HttpRequest& request, const Json& fields) const;

  Reply refuse(const HttpRequest& request, const Refusal& refusal) override;
  void on_prompt(const Answer& answer, std::string_view prompt) override;
  void on_first_token(double seconds) override;
  void on_next_token(double seconds) override;
  void on_end(const Answer& answer) override;
  void on_end(const Embedding& embedding) override;

  Models& models_;
  const ServiceOptions options_;
  Metrics metrics_;
  ResponseStore responses_;
  Pulls pulls_;
  std::atomic<int64_t> n_answers_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::weak_ptr<const Answer>> answers_;  // on their way, and some that have ended
};

}  // namespace sluice::server
