#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "sluice/server/http/body_room.h"
#include "sluice/server/http/request_head.h"
#include "sluice/server/http/trace_context.h"
#include "sluice/server/refusal.h"

namespace sluice::server {

struct HttpRequest {
  RequestHead head = {};
  std::string body = {};
  std::shared_ptr<const BodyRoom::Share> room = nullptr;  ///< the body's
  std::string id = {};                                    ///< names it in logs and to its client
  std::string client = {};  ///< whose it is: a key's name, else where it came from
  TraceContext trace = {};
};

/// A whole answer.
struct Reply {
  int status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  Headers headers = {};
};

/// A request and the way back to its client. The server calls its handler and its watcher on the exchange's strand:
/// one after the other, on a thread that is neither the network's nor the engine's.
///   fresh -> replied, by reply()
///   fresh -> streaming, by start() -> streamed, by finish()
/// What is said after the last state, or to a client that left, goes nowhere.
class Exchange {
 public:
  /// What happens to an exchange while it is answered.
  class Watcher {
   public:
    virtual ~Watcher() = default;
    /// The client left, or is not waited for any longer.
    virtual void on_gone() = 0;
    /// The client reads more slowly than it is written to (true), or has caught up (false).
    virtual void on_slow(bool slow) = 0;
    /// Nothing was sent of a stream for the keep-alive time.
    virtual void on_quiet() = 0;
  };

  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;

  virtual void reply(Reply reply) = 0;
  /// Sends the head of a stream.
  virtual void start(std::string content_type, Headers headers) = 0;
  virtual void write(std::string_view bytes) = 0;
  virtual void finish() = 0;

  /// Until the exchange ends; then it is let go.
  virtual void watch(std::shared_ptr<Watcher> watcher) = 0;
  /// Has `work` done on the strand. From any thread; what it throws is logged as a bug.
  virtual void post(std::function<void()> work) = 0;
};

/// What an exception means to a client.
Refusal refusal_of(const std::exception_ptr& error);

/// What became of a request.
struct ExchangeRecord {
  const HttpRequest* request = nullptr;
  int status = 0;  ///< 0: the client left before there was one
  uint64_t sent_bytes = 0;
  double seconds = 0;
  bool gone = false;  ///< the client left before the end
};

/// What a server serves.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  /// On the exchange's strand. What it throws is the answer, as refusal_of() has it.
  virtual void handle(const std::shared_ptr<Exchange>& exchange) = 0;
  /// An error in the shape that the request's API has. On any thread, quickly.
  virtual Reply refuse(const RequestHead& head, const Refusal& refusal,
                       const std::string& id) const = 0;
  /// Whether it is answered without a key: health, the page.
  virtual bool is_public(const RequestHead& head) const = 0;
  /// The end of each exchange. On any thread, quickly.
  virtual void on_done(const ExchangeRecord& record) = 0;
};

}  // namespace sluice::server
