#include "sluice/server/http/connection.h"

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

#include "sluice/server/answers/answer_id.h"
#include "sluice/server/http/reply_text.h"

namespace sluice::server {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::awaitable;
using asio::use_awaitable;
using boost::system::error_code;

constexpr auto kForever = std::chrono::hours(24 * 365);
constexpr size_t kReadAhead = 64 << 10;  // of requests that come while another one is answered
constexpr size_t kLittle = 4 << 10;      // where most often nothing comes
constexpr size_t kLingerBytes = 4 << 20;

std::string_view view_of(const boost::beast::flat_buffer& buffer) {
  return {static_cast<const char*>(buffer.data().data()), buffer.size()};
}

/// A client's own name for its request, if it can be shown as it is.
std::string request_id(const RequestHead& head) {
  const auto given = head.header("x-request-id");
  const bool plain = given && !given->empty() && given->size() <= 64 &&
                     given->find_first_not_of(
                         "0123456789abcdefghijklmnopqrstuvwxyz"
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == given->npos;
  return plain ? std::string(*given) : "req_" + new_id();
}

/// Of a body that comes while others take what there is for all.
Refusal no_room(const BodyRoom& bodies) {
  Refusal refusal(503, "requests of " + to_string(bodies.most()) +
                           " are being answered, which is the most; try again soon");
  refusal.retry_after = 1;
  return refusal;
}

}  // namespace

Connection::Connection(Socket socket, std::string peer, ConnectionContext& context)
    : stream_(std::move(socket), context.tls),
      peer_(std::move(peer)),
      context_(context),
      deadline_(Clock::now() + context.options.idle_time),
      wake_(context.network, Clock::time_point::max()) {}

void Connection::enter(Phase phase, std::chrono::milliseconds time) {
  phase_ = phase;
  timed_out_ = false;
  deadline_ = Clock::now() + time;
}

void Connection::tick(Clock::time_point now) {
  if (exchange_ && phase_ == Phase::answering) exchange_->tick(now, context_.options.keep_alive);
  if (now < deadline_ || timed_out_) return;
  timed_out_ = true;
  if (phase_ == Phase::head || phase_ == Phase::body) {
    stream_.cancel();  // it is told
  } else {
    close();
  }
}

void Connection::drain() {
  if (phase_ == Phase::idle && buffer_.size() == 0) close();
}

void Connection::close() { stream_.close(); }

awaitable<void> Connection::run(std::shared_ptr<Connection> self) {
  try {
    co_await self->serve();
  } catch (const boost::system::system_error&) {
    // The connection broke.
  }
  self->close();
}

awaitable<void> Connection::serve() {
  enter(Phase::closing, context_.options.head_time);
  error_code no_tls;
  co_await stream_.shake_hands(no_tls);
  if (no_tls) co_return;
  while (keeps_alive_) {
    std::optional<HttpRequest> request = co_await read_request();
    if (!request) break;
    co_await answer(std::move(*request));
  }
  co_await linger();
}

/// Reads up to `most` bytes into the buffer; false when there will be none, or it took too long.
awaitable<bool> Connection::read_some(size_t most) {
  error_code error;
  const asio::mutable_buffer into = buffer_.prepare(most);
  const size_t n = co_await stream_.read_some(into, error);
  buffer_.commit(n);
  if (!error) timed_out_ = false;  // they came while the deadline passed
  co_return !error;
}

/// nullopt when there is none: the client left, was too slow, or was told what is wrong with it.
awaitable<std::optional<RequestHead>> Connection::read_head() {
  const RequestHead unknown;
  std::optional<Refusal> refusal = co_await read_head_bytes();
  if (!refusal && head_bytes_.empty()) co_return std::nullopt;
  if (!refusal) {
    try {
      co_return parse_head(head_bytes_);
    } catch (const Refusal& wrong) {
      refusal = wrong;
    }
  }
  co_await refuse(unknown, *refusal);
  co_return std::nullopt;
}

/// Fills head_bytes_, and leaves it empty when the client left. Returns what is wrong with them.
awaitable<std::optional<Refusal>> Connection::read_head_bytes() {
  const HttpOptions& options = context_.options;
  head_bytes_.clear();
  enter(Phase::idle, options.idle_time);
  while (true) {
    if (phase_ == Phase::idle) {
      while (view_of(buffer_).starts_with("\r\n")) buffer_.consume(2);
      if (buffer_.size() > 0) enter(Phase::head, options.head_time);
      if (phase_ == Phase::idle && context_.draining) co_return std::nullopt;
    }
    const auto end = find_head_end(view_of(buffer_));
    if (end.value_or(buffer_.size()) > options.head_bytes)
      co_return Refusal(431, "the request's head is too large");
    if (end) {
      head_bytes_ = view_of(buffer_).substr(0, *end);
      buffer_.consume(*end);
      co_return std::nullopt;
    }
    if (co_await read_some(8 << 10)) continue;
    if (!timed_out_ || phase_ == Phase::idle) co_return std::nullopt;
    co_return Refusal(408, "the request's head took too long");
  }
}

awaitable<std::optional<HttpRequest>> Connection::read_request() {
  std::optional<RequestHead> head = co_await read_head();
  if (!head) co_return std::nullopt;
  keeps_alive_ = head->keeps_alive;
  std::optional<Refusal> refusal;
  HttpRequest request;
  try {
    context_.gate.check_place(*head);
    if (head->method != "OPTIONS" && !context_.handler.is_public(*head))
      context_.gate.check_key(*head);
    if (head->content_length.value_or(0) > context_.options.body_bytes.count)
      throw Refusal(413, "the body is larger than " + to_string(context_.options.body_bytes));
    request.client = context_.gate.client_of(*head);
  } catch (const Refusal& wrong) {
    refusal = wrong;
  }
  if (refusal) {
    co_await refuse(*head, *refusal);
    co_return std::nullopt;
  }
  if (request.client.empty()) request.client = peer_;
  request.id = request_id(*head);
  request.trace = trace_context_of(*head);
  if (head->has_body()) {
    const bool whole = co_await read_body(head_bytes_, *head, request);
    if (!whole) co_return std::nullopt;
  }
  request.head = std::move(*head);
  co_return request;
}

/// False when there is no request: the client left, or was told what is wrong with it.
awaitable<bool> Connection::read_body(const std::string& bytes, const RequestHead& head,
                                      HttpRequest& request) {
  const HttpOptions& options = context_.options;
  // What came counts, not what is announced: that costs a client nothing.
  const auto room = std::make_shared<BodyRoom::Share>(context_.bodies);
  enter(Phase::body, options.body_time);
  error_code error;
  constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
  if (head.expects_continue) co_await stream_.write(kGoOn, error);
  if (error) co_return false;
  http::request_parser<http::string_body> parser;
  parser.header_limit(static_cast<uint32_t>(2 * options.head_bytes));
  parser.body_limit(options.body_bytes.count);
  parser.eager(true);
  parser.put(asio::buffer(bytes), error);
  bool has_room = true;
  while (has_room && (!error || error == http::error::need_more) && !parser.is_done()) {
    if (error == http::error::need_more || buffer_.size() == 0) {
      error = {};
      if (!co_await read_some(kReadAhead)) {
        error = http::error::partial_message;
        break;
      }
      enter(Phase::body, options.body_time);
    }
    buffer_.consume(parser.put(buffer_.data(), error));
    has_room = room->grow_to(parser.get().body().size());
  }
  if (!error && has_room) {
    request.body = std::move(parser.get().body());
    request.room = room;
    co_return true;
  }
  std::optional<Refusal> refusal;
  if (!has_room) {
    refusal = no_room(context_.bodies);
  } else if (error == http::error::body_limit) {
    refusal.emplace(413, "the body is larger than " + to_string(options.body_bytes));
  } else if (timed_out_) {
    refusal.emplace(408, "the request's body took too long");
  } else if (error.category() == http::make_error_code(http::error::bad_chunk).category() &&
             error != http::error::partial_message && error != http::error::end_of_stream) {
    refusal.emplace(400, "the body's chunks are damaged: " + error.message());
  }
  if (refusal) co_await refuse(head, *refusal);
  co_return false;
}

std::shared_ptr<LiveExchange> Connection::make_exchange(HttpRequest request) {
  LiveExchange::Style style{.keeps_alive = keeps_alive_ && !context_.draining,
                            .minor_version = request.head.minor_version,
                            .without_body = request.head.method == "HEAD",
                            .headers = context_.gate.cors_headers(request.head)};
  if (style.minor_version == 0) style.keeps_alive = false;
  style.headers.emplace_back("x-request-id", request.id);
  style.headers.emplace_back("request-id", request.id);
  if (!request.trace.empty()) style.headers.emplace_back("traceparent", request.trace.header());
  LiveExchange::Wiring wiring{
      .on_strand = [strand = asio::make_strand(context_.workers)](
                       std::function<void()> work) { asio::post(strand, std::move(work)); },
      .wake =
          [weak = weak_from_this(), &network = context_.network] {
            asio::post(network, [weak] {
              if (const auto self = weak.lock()) {
                self->woken_ = true;
                self->wake_.cancel();
              }
            });
          },
      .presence = context_.presence,
      .handler = &context_.handler};
  return std::make_shared<LiveExchange>(std::move(request), std::move(style), std::move(wiring));
}

awaitable<void> Connection::answer(HttpRequest request) {
  using namespace asio::experimental::awaitable_operators;  // NOLINT: for ||
  enter(Phase::answering, kForever);
  exchange_ = make_exchange(std::move(request));
  keeps_alive_ = exchange_->keeps_alive();
  exchange_->begin();
  bool whole = false;
  try {
    const auto first = co_await (send(*exchange_) || watch_client(*exchange_));
    whole = first.index() == 0 && std::get<0>(first);
  } catch (const std::exception&) {
    // The connection broke, or there is no memory: whoever answers is told in any case.
  }
  if (!whole || exchange_->record().gone) {
    exchange_->gone();
    keeps_alive_ = false;
    close();
  }
  context_.handler.on_done(exchange_->record());
  exchange_.reset();
}

/// Sends what the exchange holds until it has ended; false when the client left meanwhile.
awaitable<bool> Connection::send(LiveExchange& exchange) {
  while (true) {
    woken_ = false;
    const LiveExchange::Batch batch = exchange.take();
    if (!batch.bytes.empty()) {
      deadline_ = Clock::now() + context_.options.send_time;
      error_code error;
      co_await stream_.write(batch.bytes, error);
      if (error) co_return false;
      deadline_ = Clock::now() + kForever;
      exchange.sent(batch.bytes.size());
    }
    if (batch.last) co_return true;
    while (!woken_) {
      error_code cancelled;
      co_await wake_.async_wait(asio::redirect_error(use_awaitable, cancelled));
    }
  }
}

/// Ends when the client has closed its side: who asked does not wait for the answer any more. Requests that it sends
/// meanwhile are kept for later. Answers that are at hand still reach a client that has only ended its own words.
awaitable<void> Connection::watch_client(LiveExchange& exchange) {
  asio::steady_timer timer(context_.network, Clock::time_point::max());
  while (buffer_.size() < kReadAhead) {
    if (co_await read_some(std::min(kLittle, kReadAhead - buffer_.size()))) continue;
    for (int i = 0; i < 20 && stream_.is_open() && !exchange.is_watched(); ++i) {
      timer.expires_after(std::chrono::milliseconds(25));
      co_await timer.async_wait(use_awaitable);
    }
    co_return;
  }
  co_await timer.async_wait(use_awaitable);
}

/// Answers what is not handed to the handler; after it the connection ends, for what follows may be anything.
awaitable<void> Connection::refuse(const RequestHead& head, const Refusal& refusal) {
  enter(Phase::closing, context_.options.head_time);
  keeps_alive_ = false;
  const std::string id = request_id(head);
  HttpRequest request{
      .head = head, .body = {}, .id = id, .client = peer_, .trace = trace_context_of(head)};
  Reply reply = context_.handler.refuse(head, refusal, id);
  Headers headers = context_.gate.cors_headers(head);
  headers.emplace_back("x-request-id", id);
  if (!request.trace.empty()) headers.emplace_back("traceparent", request.trace.header());
  headers.insert(headers.end(), reply.headers.begin(), reply.headers.end());
  std::string text = head_text({.status = reply.status,
                                .content_type = reply.content_type,
                                .content_length = reply.body.size(),
                                .keeps_alive = false},
                               headers);
  if (head.method != "HEAD") text += reply.body;
  error_code left;
  co_await stream_.write(text, left);
  context_.handler.on_done(
      {.request = &request, .status = reply.status, .sent_bytes = text.size()});
}

/// Reads for a moment what the client still sends: closing with bytes unread would take the answer away from it.
awaitable<void> Connection::linger() {
  if (!stream_.is_open()) co_return;
  enter(Phase::closing, std::chrono::seconds(2));
  error_code ignored;
  co_await stream_.end_writing(ignored);
  buffer_.clear();
  for (size_t read = 0; read < kLingerBytes; read += buffer_.size(), buffer_.clear()) {
    if (!co_await read_some(64 << 10)) break;
  }
}

}  // namespace sluice::server
