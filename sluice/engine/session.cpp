#include "sluice/engine/session.h"

#include <fmt/format.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/generation.h"

namespace sluice::engine {
namespace {

/// What a generation tells, until its session's caller takes it.
class Mailbox : public Listener {
 public:
  void on_token(Event event) override {
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    told_.notify_one();
  }
  void on_end(Result result) override {
    const std::lock_guard lock(mutex_);
    result_ = std::move(result);
    told_.notify_one();
  }
  void on_error(std::exception_ptr error) override {
    const std::lock_guard lock(mutex_);
    error_ = std::move(error);
    told_.notify_one();
  }

  /// Waits for an event; nothing when there are no more.
  std::optional<Event> next() {
    std::unique_lock lock(mutex_);
    told_.wait(lock, [this] { return !events_.empty() || result_ || error_; });
    if (events_.empty()) return std::nullopt;
    Event event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  /// After the last event.
  Result take_result() {
    const std::lock_guard lock(mutex_);
    if (error_) std::rethrow_exception(error_);
    return std::move(*result_);
  }

 private:
  std::mutex mutex_;  // guards what follows
  std::condition_variable told_;
  std::deque<Event> events_;
  std::optional<Result> result_;
  std::exception_ptr error_;
};

/// While it lives, nobody else gets one.
class Turn {
 public:
  explicit Turn(std::atomic<bool>& busy) : busy_(busy) {
    if (busy_.exchange(true))
      fail(ErrorKind::bad_request, "this session is making an answer already");
  }
  ~Turn() { busy_ = false; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::atomic<bool>& busy_;
};

}  // namespace

Session::Session(Engine& engine) : engine_(engine) {
  static std::atomic<uint64_t> count{0};
  salt_ = fmt::format("session {}", ++count);
}

Session::Session(Engine& engine, std::string salt)
    : engine_(engine), salt_(std::move(salt)), shared_(true) {}

Session::~Session() { forget(); }

void Session::forget() {
  if (shared_) return;
  Engine::Impl& impl = engine_.impl();
  impl.worker.run([&] {
    impl.prefixes->drop(salt_);
    if (impl.draft_layer) impl.draft_layer->forget(salt_);
  });
}

void Session::reset() {
  forget();
  tokens_.clear();
}

std::unique_ptr<Generation> Session::begin(Request request, std::shared_ptr<Listener> listener) {
  request.cache_salt = salt_;
  request.uses_disk = shared_;
  return begin_generation(engine_, std::move(request), std::move(listener));
}

Result Session::generate(const Request& request,
                         const std::function<void(const Event&)>& on_event) {
  const Turn turn(busy_);
  const auto streamed_before = engine_.statistics();
  const auto mailbox = std::make_shared<Mailbox>();
  const auto generation = begin(request, mailbox);
  try {
    while (const auto event = mailbox->next()) on_event(*event);
  } catch (...) {
    generation->cancel();
    while (mailbox->next()) {
    }
    throw;
  }
  Result result = mailbox->take_result();
  if (streamed_before) result.streaming = *engine_.statistics() - *streamed_before;
  tokens_ = request.tokens;
  tokens_.insert(tokens_.end(), result.tokens.begin(), result.tokens.end());
  tokens_.resize(static_cast<size_t>(result.n_held));
  return result;
}

}  // namespace sluice::engine
