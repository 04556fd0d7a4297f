#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <memory>
#include <optional>
#include <string>

#include "sluice/server/http/body_room.h"
#include "sluice/server/http/byte_stream.h"
#include "sluice/server/http/http_server.h"
#include "sluice/server/http/live_exchange.h"

namespace sluice::server {

/// What the connections of a server share.
struct ConnectionContext {
  const HttpOptions& options;
  const Gate& gate;
  HttpHandler& handler;
  boost::asio::io_context& network;
  boost::asio::thread_pool& workers;
  boost::asio::ssl::context* tls;  ///< null: none
  BodyRoom& bodies;
  std::shared_ptr<void> presence;
  bool draining = false;
};

/// One client's connection. All of it happens on the network's thread.
///   (shaking hands ->) idle -> reading a head -> reading a body -> answering -> idle, or closing -> closed
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = ByteStream::Socket;
  using Clock = std::chrono::steady_clock;

  Connection(Socket socket, std::string peer, ConnectionContext& context);

  /// Ends when the connection has; keeps it alive until then.
  static boost::asio::awaitable<void> run(std::shared_ptr<Connection> self);
  /// Looks at deadlines and silences; to be called some times a second.
  void tick(Clock::time_point now);
  /// Ends it once what is asked is answered. To be called once the context is draining.
  void drain();
  /// Ends it now.
  void close();

 private:
  template <typename T>
  using Awaitable = boost::asio::awaitable<T>;
  enum class Phase { idle, head, body, answering, closing };

  Awaitable<void> serve();
  Awaitable<std::optional<RequestHead>> read_head();
  Awaitable<std::optional<Refusal>> read_head_bytes();
  Awaitable<std::optional<HttpRequest>> read_request();
  Awaitable<bool> read_body(const std::string& bytes, const RequestHead& head,
                            HttpRequest& request);
  Awaitable<void> answer(HttpRequest request);
  Awaitable<bool> send(LiveExchange& exchange);
  Awaitable<void> watch_client(LiveExchange& exchange);
  // Both arguments have names where it is called: GCC 12 destroys temporaries of a co_await twice.
  Awaitable<void> refuse(const RequestHead& head, const Refusal& refusal);
  Awaitable<void> linger();
  Awaitable<bool> read_some(size_t most);
  void enter(Phase phase, std::chrono::milliseconds time);
  std::shared_ptr<LiveExchange> make_exchange(HttpRequest request);

  ByteStream stream_;
  const std::string peer_;
  ConnectionContext& context_;
  boost::beast::flat_buffer buffer_;
  std::string head_bytes_;  // of the request being read
  Phase phase_ = Phase::idle;
  Clock::time_point deadline_;
  bool timed_out_ = false, woken_ = false, keeps_alive_ = true;
  boost::asio::steady_timer wake_;
  std::shared_ptr<LiveExchange> exchange_;
};

}  // namespace sluice::server
