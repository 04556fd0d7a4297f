#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "sluice/base/bytes.h"
#include "sluice/server/http/exchange.h"
#include "sluice/server/http/gate.h"

namespace sluice::server {

struct HttpOptions {
  std::string host = "127.0.0.1";          ///< a name or an address
  uint16_t port = 8080;                    ///< 0: a free one
  std::filesystem::path unix_socket = {};  ///< instead of host and port
  /// PEM files of a certificate, with those that vouch for it, and of its key; both or none.
  std::filesystem::path tls_certificate = {}, tls_key = {};
  GateOptions gate = {};

  size_t most_connections = 512;
  size_t head_bytes = 64 << 10;
  Bytes body_bytes = {32 << 20};     ///< of one request
  Bytes bodies_bytes = {256 << 20};  ///< of all that are read or answered; one more is a 503
  std::chrono::milliseconds head_time{10'000};   ///< from a head's first byte to its last
  std::chrono::milliseconds idle_time{120'000};  ///< between requests of a connection
  std::chrono::milliseconds body_time{30'000};   ///< without a byte of the body
  std::chrono::milliseconds send_time{120'000};  ///< without room for a byte of the answer
  std::chrono::milliseconds keep_alive{5'000};   ///< silence of a stream, until it says something
  std::chrono::milliseconds drain_time{
      30'000};  ///< for answers on their way when the end is asked for
};

/// Lowers what clients can have the server hold to a part of `ram`, which is for the whole process. Returns the most
/// memory that they take, what is made of bodies included.
Bytes hold_clients_within(Bytes ram, HttpOptions& options);

/// Serves HTTP/1.1 on a thread for the network, the caller's, and some for the handler.
class HttpServer {
 public:
  /// Listens. Throws Error(io) when it cannot, Error(bad_request) for a host beyond loopback without keys, and for a
  /// certificate or a key that cannot be used.
  HttpServer(const HttpOptions& options, HttpHandler& handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  /// "http://127.0.0.1:8080", https with TLS, or the socket's path.
  std::string address() const;

  /// Serves until `stop` becomes true and what was on its way is answered, or drain_time has passed.
  void run(const std::atomic<bool>& stop);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::server
