#include "sluice/server/http/live_exchange.h"

#include <new>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/server/http/reply_text.h"

namespace sluice::server {
namespace {

// Bytes of a stream that wait for its client: more make it slow, fewer end that, and one with most of them is let go.
// What is paused still hands over the tokens of the step that is being computed, so most is far from slow.
constexpr size_t kSlow = 64 << 10, kCaughtUp = 16 << 10, kMost = 8 << 20;

}  // namespace

LiveExchange::LiveExchange(HttpRequest request, Style style, Wiring wiring)
    : request_(std::move(request)), style_(std::move(style)), wiring_(std::move(wiring)) {}

void LiveExchange::begin() {
  post([this] { wiring_.handler->handle(shared_from_this()); });
}

void LiveExchange::post(std::function<void()> work) {
  wiring_.on_strand([self = shared_from_this(), work = std::move(work)] { self->guarded(work); });
}

void LiveExchange::guarded(const std::function<void()>& work) {
  try {
    work();
    return;
  } catch (...) {
    give_up(refusal_of(std::current_exception()));
  }
}

/// Answers with an error. In a stream there is no way to tell it: the connection ends before the body does.
void LiveExchange::give_up(const Refusal& refusal) {
  std::shared_ptr<Watcher> watcher;
  {
    const std::lock_guard lock(mutex_);
    watcher = watcher_;
    if (state_ == State::streaming) gone_ = true;
    if (gone_) wake_locked();
  }
  reply(wiring_.handler->refuse(request_.head, refusal, request_.id));
  if (watcher) watcher->on_gone();
}

Headers LiveExchange::all_headers(Headers more) const {
  Headers all = style_.headers;
  all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  return all;
}

void LiveExchange::reply(Reply reply) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::fresh) return;
  status_ = reply.status;
  pending_ = head_text({.status = reply.status,
                        .content_type = reply.content_type,
                        .content_length = reply.body.size(),
                        .keeps_alive = style_.keeps_alive,
                        .minor_version = style_.minor_version},
                       all_headers(std::move(reply.headers)));
  if (!style_.without_body) pending_ += reply.body;
  queued_ = pending_.size();
  end_locked();
  wake_locked();
}

void LiveExchange::start(std::string content_type, Headers headers) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::fresh) return;
  state_ = State::streaming;
  status_ = 200;
  headers.emplace_back("Cache-Control", "no-store");
  pending_ = head_text({.status = 200,
                        .content_type = content_type,
                        .keeps_alive = style_.keeps_alive,
                        .minor_version = style_.minor_version},
                       all_headers(std::move(headers)));
  queued_ = pending_.size();
  last_write_ = Clock::now();
  wake_locked();
}

void LiveExchange::append_body(std::string_view bytes) {
  if (style_.without_body) return;
  const size_t before = pending_.size();
  if (style_.minor_version == 1) {
    append_chunk(bytes, pending_);
  } else {
    pending_ += bytes;
  }
  queued_ += pending_.size() - before;
}

void LiveExchange::write(std::string_view bytes) {
  if (bytes.empty()) return;
  bool became_slow = false;
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::streaming || gone_) return;
    append_body(bytes);
    last_write_ = Clock::now();
    became_slow = queued_ > kSlow && !std::exchange(slow_, queued_ > kSlow);
    if (queued_ > kMost) gone_ = true;
    wake_locked();
  }
  if (became_slow) tell([](Watcher& watcher) { watcher.on_slow(true); });
}

void LiveExchange::finish() {
  const std::lock_guard lock(mutex_);
  if (state_ != State::streaming) return;
  if (style_.minor_version == 1 && !style_.without_body) {
    pending_ += kLastChunk;
    queued_ += kLastChunk.size();
  }
  end_locked();
  wake_locked();
}

void LiveExchange::end_locked() {
  state_ = State::ended;
  watcher_.reset();
}

void LiveExchange::wake_locked() {
  if (!std::exchange(waking_, true)) wiring_.wake();
}

bool LiveExchange::is_watched() const {
  const std::lock_guard lock(mutex_);
  return watcher_ != nullptr;
}

void LiveExchange::watch(std::shared_ptr<Watcher> watcher) {
  const std::lock_guard lock(mutex_);
  if (state_ == State::ended) return;
  watcher_ = std::move(watcher);
  if (gone_ && watcher_) wiring_.on_strand([watching = watcher_] { watching->on_gone(); });
}

void LiveExchange::tell(std::function<void(Watcher&)> what) {
  post([this, what = std::move(what)] {
    std::shared_ptr<Watcher> watcher;
    {
      const std::lock_guard lock(mutex_);
      watcher = watcher_;
    }
    if (watcher) what(*watcher);
  });
}

LiveExchange::Batch LiveExchange::take() {
  const std::lock_guard lock(mutex_);
  waking_ = false;
  if (gone_) return {.bytes = {}, .last = true};
  return {.bytes = std::exchange(pending_, {}), .last = state_ == State::ended};
}

void LiveExchange::sent(size_t bytes) {
  bool caught_up = false;
  {
    const std::lock_guard lock(mutex_);
    queued_ -= bytes;
    sent_bytes_ += bytes;
    caught_up = slow_ && queued_ < kCaughtUp;
    if (caught_up) slow_ = false;
  }
  if (caught_up) tell([](Watcher& watcher) { watcher.on_slow(false); });
}

void LiveExchange::gone() {
  {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    pending_.clear();
  }
  tell([](Watcher& watcher) { watcher.on_gone(); });
}

void LiveExchange::tick(Clock::time_point now, std::chrono::milliseconds keep_alive) {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::streaming || now - last_write_ < keep_alive) return;
    last_write_ = now;
  }
  tell([](Watcher& watcher) { watcher.on_quiet(); });
}

ExchangeRecord LiveExchange::record() const {
  const std::lock_guard lock(mutex_);
  return {.request = &request_,
          .status = status_,
          .sent_bytes = sent_bytes_,
          .seconds = std::chrono::duration<double>(Clock::now() - begun_).count(),
          .gone = gone_};
}

Refusal refusal_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Refusal& refusal) {
    return refusal;
  } catch (const Error& wrong) {
    switch (wrong.kind()) {
      case ErrorKind::bad_request:
      case ErrorKind::unsupported:
        return {400, wrong.what()};
      case ErrorKind::over_budget:
        return {503, wrong.what()};
      case ErrorKind::bad_model:
      case ErrorKind::io:
      case ErrorKind::internal:
        return {500, wrong.what()};
    }
    return {500, wrong.what()};
  } catch (const std::bad_alloc&) {
    return {503, "out of memory"};
  } catch (const std::exception& wrong) {
    return {500, wrong.what()};
  }
}

}  // namespace sluice::server
