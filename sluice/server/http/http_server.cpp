#include "sluice/server/http/http_server.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <set>
#include <thread>

#include "sluice/base/error.h"
#include "sluice/server/http/connection.h"
#include "sluice/server/http/reply_text.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Tcp = asio::ip::tcp;
using Unix = asio::local::stream_protocol;

constexpr auto kTick = std::chrono::milliseconds(100);
constexpr int kWorkers = 4;  // a large body, or a model being loaded, does not hold up all others

Tcp::endpoint resolve(asio::io_context& network, const HttpOptions& options) {
  error_code error;
  Tcp::resolver resolver(network);
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port), Tcp::resolver::passive, error);
  if (error || found.empty())
    fail(ErrorKind::bad_request, "--host {}: {}", options.host, error.message());
  return found.begin()->endpoint();
}

/// TLS 1.2 and later; nullopt where none is asked for.
std::optional<asio::ssl::context> open_tls(const HttpOptions& options) {
  using Tls = asio::ssl::context;
  if (options.tls_certificate.empty()) return std::nullopt;
  Tls tls(Tls::tls_server);
  tls.set_options(Tls::default_workarounds | Tls::no_tlsv1 | Tls::no_tlsv1_1 | Tls::no_compression);
  const auto check = [](const char* option, const std::filesystem::path& file,
                        const error_code& error) {
    if (error) fail(ErrorKind::bad_request, "{} {}: {}", option, file.string(), error.message());
  };
  error_code error;
  tls.use_certificate_chain_file(options.tls_certificate.string(), error);
  check("--tls-cert", options.tls_certificate, error);
  tls.use_private_key_file(options.tls_key.string(), Tls::pem, error);
  check("--tls-key", options.tls_key, error);
  return tls;
}

}  // namespace

Bytes hold_clients_within(Bytes ram, HttpOptions& options) {
  constexpr uint64_t kPart = 32;  // of ram
  constexpr uint64_t kLeast = 8 << 20;
  // The network's code, and what its threads keep.
  constexpr uint64_t kNetwork = 8 << 20;
  // Coroutines and buffers; what is read ahead and sent comes and goes.
  constexpr uint64_t kConnection = 24 << 10;
  // JSON, messages, the rendered prompt and its tokens: at most so many times what was sent.
  constexpr uint64_t kMadeOfBodies = 20;
  const uint64_t clients = std::max(kLeast, ram.count / kPart);
  options.most_connections = std::min(options.most_connections, clients / 4 / kConnection);
  const uint64_t connections = options.most_connections * kConnection;
  options.bodies_bytes =
      std::min(options.bodies_bytes, Bytes{(clients - connections) / kMadeOfBodies});
  options.body_bytes = std::min(options.body_bytes, options.bodies_bytes);
  return {kNetwork + connections + options.bodies_bytes.count * kMadeOfBodies};
}

struct HttpServer::Impl {
  Impl(const HttpOptions& o, HttpHandler& handler)
      : options(o),
        gate(options.gate),
        tls(open_tls(o)),
        bodies(options.bodies_bytes),
        context{options, gate,
                handler, network,
                workers, tls ? &*tls : nullptr,
                bodies,  std::make_shared<int>(0)} {}

  void listen_tcp();
  void listen_unix();
  template <typename Acceptor>
  awaitable<void> accept(Acceptor& acceptor);
  void add(Connection::Socket socket, std::string peer);
  awaitable<void> tick(const std::atomic<bool>& stop);
  void drain();

  const HttpOptions options;
  const Gate gate;
  std::optional<asio::ssl::context> tls;
  BodyRoom bodies;
  asio::io_context network{1};
  asio::thread_pool workers{kWorkers};
  ConnectionContext context;
  std::optional<Tcp::acceptor> tcp;
  std::optional<Unix::acceptor> local;
  std::set<std::shared_ptr<Connection>> connections;
};

void HttpServer::Impl::listen_tcp() {
  const Tcp::endpoint endpoint = resolve(network, options);
  if (!endpoint.address().is_loopback() && options.gate.api_keys.empty()) {
    fail(ErrorKind::bad_request,
         "--host {}: others would reach it; --api-key or --api-key-file says who may ask",
         options.host);
  }
  try {
    tcp.emplace(network, endpoint);  // with SO_REUSEADDR: a restart need not wait
  } catch (const boost::system::system_error& error) {
    fail(ErrorKind::io, "{}:{} cannot be listened at: {}; --port names another", options.host,
         options.port, error.code().message());
  }
}

void HttpServer::Impl::listen_unix() {
  const std::string path = options.unix_socket.string();
  if (path.size() >= sizeof(sockaddr_un{}.sun_path))
    fail(ErrorKind::bad_request, "--unix-socket {}: the path is too long", path);
  struct stat there {};
  const bool is_socket = ::lstat(path.c_str(), &there) == 0 && S_ISSOCK(there.st_mode);
  error_code refused;
  if (is_socket) {
    Unix::socket probe(network);
    probe.connect(Unix::endpoint(path), refused);
    if (refused) ::unlink(path.c_str());  // left by a server that is no more
  }
  const mode_t mask = ::umask(0177);
  try {
    local.emplace(network, Unix::endpoint(path));
  } catch (const boost::system::system_error& error) {
    ::umask(mask);
    fail(ErrorKind::io, "{}: cannot be listened at: {}", path, error.code().message());
  }
  ::umask(mask);
}

template <typename Acceptor>
awaitable<void> HttpServer::Impl::accept(Acceptor& acceptor) {
  asio::steady_timer pause(network);
  while (acceptor.is_open()) {
    error_code error;
    typename Acceptor::protocol_type::socket socket =
        co_await acceptor.async_accept(asio::redirect_error(use_awaitable, error));
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // no descriptors left, most likely: some come free
      pause.expires_after(kTick);
      co_await pause.async_wait(use_awaitable);
      continue;
    }
    std::string peer = "local";
    if constexpr (std::is_same_v<Acceptor, Tcp::acceptor>) {
      error_code ignored;
      socket.set_option(Tcp::no_delay(true), ignored);
      peer = socket.remote_endpoint(ignored).address().to_string();
    }
    add(std::move(socket), std::move(peer));
  }
}

void HttpServer::Impl::add(Connection::Socket socket, std::string peer) {
  if (connections.size() >= options.most_connections) {
    const std::string busy = head_text({.status = 503, .content_length = 0, .keeps_alive = false},
                                       {{"Retry-After", "1"}});
    error_code ignored;
    socket.non_blocking(true, ignored);
    if (!tls) socket.write_some(asio::buffer(busy), ignored);
    return;
  }
  const auto connection = std::make_shared<Connection>(std::move(socket), std::move(peer), context);
  connections.insert(connection);
  asio::co_spawn(network, Connection::run(connection),
                 [this, connection](const std::exception_ptr&) { connections.erase(connection); });
}

void HttpServer::Impl::drain() {
  context.draining = true;
  error_code ignored;
  if (tcp) tcp->close(ignored);
  if (local) local->close(ignored);
  for (const auto& connection : connections) connection->drain();
}

awaitable<void> HttpServer::Impl::tick(const std::atomic<bool>& stop) {
  asio::steady_timer timer(network);
  std::optional<Clock::time_point> last_moment;
  while (!context.draining || !connections.empty()) {
    timer.expires_after(kTick);
    co_await timer.async_wait(use_awaitable);
    const auto now = Clock::now();
    if (stop && !context.draining) {
      drain();
      last_moment = now + options.drain_time;
    }
    for (const auto& connection : connections) connection->tick(now);
    if (last_moment && now > *last_moment) {
      for (const auto& connection : connections) connection->close();
    }
  }
}

HttpServer::HttpServer(const HttpOptions& options, HttpHandler& handler)
    : impl_(std::make_unique<Impl>(options, handler)) {
  if (options.unix_socket.empty()) {
    impl_->listen_tcp();
  } else {
    impl_->listen_unix();
  }
}

HttpServer::~HttpServer() {
  if (!impl_->options.unix_socket.empty()) ::unlink(impl_->options.unix_socket.c_str());
  // Whoever holds an exchange lets it go once it hears that its client is gone.
  while (impl_->context.presence.use_count() > 1)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  impl_->workers.join();
}

std::string HttpServer::address() const {
  if (impl_->local) return impl_->options.unix_socket.string();
  const Tcp::endpoint endpoint = impl_->tcp->local_endpoint();
  std::string host = endpoint.address().to_string();
  if (endpoint.address().is_v6()) host = "[" + host + "]";
  return fmt::format("{}://{}:{}", impl_->tls ? "https" : "http", host, endpoint.port());
}

void HttpServer::run(const std::atomic<bool>& stop) {
  const auto rethrow = [](const std::exception_ptr& error) {
    if (error) std::rethrow_exception(error);
  };
  if (impl_->tcp) asio::co_spawn(impl_->network, impl_->accept(*impl_->tcp), rethrow);
  if (impl_->local) asio::co_spawn(impl_->network, impl_->accept(*impl_->local), rethrow);
  asio::co_spawn(impl_->network, impl_->tick(stop), rethrow);
  impl_->network.run();
}

}  // namespace sluice::server
