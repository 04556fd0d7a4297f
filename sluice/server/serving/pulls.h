#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "sluice/server/dialects/data_asks.h"
#include "sluice/server/http/exchange.h"

namespace sluice::server {

/// Models on their way from a hub into the store, because clients asked for them; each on a thread of its own. One whose
/// client leaves ends; the next one goes on with what is there.
class Pulls {
 public:
  /// The shape of an error, before a stream's head was told.
  using Refuse = std::function<Reply(const HttpRequest&, const Refusal&)>;
  explicit Pulls(Refuse refuse) : refuse_(std::move(refuse)) {}
  ~Pulls();
  Pulls(const Pulls&) = delete;
  Pulls& operator=(const Pulls&) = delete;

  static constexpr size_t kMost = 2;
  /// On the exchange's strand. Throws Refusal (429) while kMost are on their way.
  void begin(const std::shared_ptr<Exchange>& exchange, const PullAsk& ask);

 private:
  class Pull;
  struct Running {
    std::shared_ptr<Pull> pull;
    std::thread thread;
  };
  const Refuse refuse_;
  std::mutex mutex_;
  std::list<Running> running_;  // and some that have ended
};

}  // namespace sluice::server
