#include "sluice/server/http/byte_stream.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace sluice::server {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;

ByteStream::ByteStream(Socket socket, asio::ssl::context* tls) : socket_(std::move(socket)) {
  if (tls != nullptr) tls_.emplace(socket_, *tls);
}

awaitable<void> ByteStream::shake_hands(ErrorCode& error) {
  if (!tls_) co_return;
  co_await tls_->async_handshake(asio::ssl::stream_base::server,
                                 asio::redirect_error(use_awaitable, error));
}

awaitable<size_t> ByteStream::read_some(asio::mutable_buffer into, ErrorCode& error) {
  if (tls_)
    co_return co_await tls_->async_read_some(into, asio::redirect_error(use_awaitable, error));
  co_return co_await socket_.async_read_some(into, asio::redirect_error(use_awaitable, error));
}

awaitable<void> ByteStream::write(std::string_view bytes, ErrorCode& error) {
  const auto buffer = asio::buffer(bytes);
  if (tls_) {
    co_await asio::async_write(*tls_, buffer, asio::redirect_error(use_awaitable, error));
  } else {
    co_await asio::async_write(socket_, buffer, asio::redirect_error(use_awaitable, error));
  }
}

awaitable<void> ByteStream::end_writing(ErrorCode& error) {
  // Also waits for the client's own end, which it need not send.
  if (tls_) co_await tls_->async_shutdown(asio::redirect_error(use_awaitable, error));
  if (socket_.is_open()) socket_.shutdown(asio::socket_base::shutdown_send, error);
}

void ByteStream::cancel() {
  ErrorCode ignored;
  socket_.cancel(ignored);
}

void ByteStream::close() {
  ErrorCode ignored;
  socket_.close(ignored);
}

}  // namespace sluice::server
