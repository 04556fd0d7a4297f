#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "sluice/server/http/exchange.h"

namespace sluice::server {

/// An exchange between a handler, which fills it, and its connection, which sends what is there.
class LiveExchange : public Exchange, public std::enable_shared_from_this<LiveExchange> {
 public:
  using Clock = std::chrono::steady_clock;

  struct Wiring {
    std::function<void(std::function<void()>)> on_strand;  ///< queues work
    std::function<void()> wake;      ///< the connection calls take() soon; from any thread
    std::shared_ptr<void> presence;  ///< kept until the exchange is gone
    HttpHandler* handler = nullptr;
  };
  /// How the answer is told.
  struct Style {
    bool keeps_alive = true;
    int minor_version = 1;
    bool without_body = false;  ///< HEAD
    Headers headers = {};       ///< in each answer
  };
  LiveExchange(HttpRequest request, Style style, Wiring wiring);

  const HttpRequest& request() const override { return request_; }
  void reply(Reply reply) override;
  void start(std::string content_type, Headers headers) override;
  void write(std::string_view bytes) override;
  void finish() override;
  void watch(std::shared_ptr<Watcher> watcher) override;
  void post(std::function<void()> work) override;

  // What follows is for the connection.

  /// Has the handler handle it.
  void begin();
  struct Batch {
    std::string bytes = {};
    bool last = false;
  };
  /// All there is to send.
  Batch take();
  /// So much of what was taken is on its way to the client.
  void sent(size_t bytes);
  /// The client left: nothing is sent any more.
  void gone();
  /// Tells the watcher of a stream of which nothing was sent for `keep_alive`.
  void tick(Clock::time_point now, std::chrono::milliseconds keep_alive);
  /// Whether it takes long, so that somebody wants to hear of its client.
  bool is_watched() const;
  bool keeps_alive() const { return style_.keeps_alive; }
  ExchangeRecord record() const;

 private:
  enum class State { fresh, streaming, ended };

  void guarded(const std::function<void()>& work);
  void give_up(const Refusal& refusal);
  void append_body(std::string_view bytes);
  Headers all_headers(Headers more) const;
  void tell(std::function<void(Watcher&)> what);
  void end_locked();
  void wake_locked();

  const HttpRequest request_;
  const Style style_;
  const Wiring wiring_;
  const Clock::time_point begun_ = Clock::now();

  mutable std::mutex mutex_;
  State state_ = State::fresh;
  std::string pending_;
  size_t queued_ = 0;  // pending_ and what was taken but not sent
  bool slow_ = false, gone_ = false;
  bool waking_ = false;  // the connection will call take()
  std::shared_ptr<Watcher> watcher_;
  Clock::time_point last_write_ = begun_;
  int status_ = 0;
  uint64_t sent_bytes_ = 0;
};

}  // namespace sluice::server
