#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <optional>
#include <string_view>

namespace sluice::server {

/// A client's bytes, as they are or through TLS. One read and one write may be on their way at once, on one thread.
class ByteStream {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using ErrorCode = boost::system::error_code;

  /// tls: null for bytes as they are; outlives it.
  ByteStream(Socket socket, boost::asio::ssl::context* tls);

  /// Comes first; nothing is to be done without TLS.
  boost::asio::awaitable<void> shake_hands(ErrorCode& error);
  boost::asio::awaitable<size_t> read_some(boost::asio::mutable_buffer into, ErrorCode& error);
  /// All of them. The bytes stay where they are until it is done.
  boost::asio::awaitable<void> write(std::string_view bytes, ErrorCode& error);
  /// Tells the client that nothing follows.
  boost::asio::awaitable<void> end_writing(ErrorCode& error);

  bool is_open() const { return socket_.is_open(); }
  /// What is on its way ends with an error.
  void cancel();
  void close();

 private:
  Socket socket_;
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
};

}  // namespace sluice::server
