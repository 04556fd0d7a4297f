#include "sluice/server/serving/pulls.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/threads.h"
#include "sluice/engine/hub/hub.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {
namespace {

using Clock = std::chrono::steady_clock;

/// Between two lines about a file.
constexpr std::chrono::milliseconds kTellEvery{200};

Json status_line(std::string_view status) { return {{"status", status}}; }

/// As Ollama tells of a layer.
Json file_line(const engine::PullProgress::File& file) {
  Json line = status_line("pulling " + file.name);
  if (!file.hash.empty()) line["digest"] = file.hash;
  line["total"] = file.bytes.count;
  line["completed"] = file.done.count;
  return line;
}

}  // namespace

/// One pull. Its thread runs it; all else is posted to the exchange's strand.
class Pulls::Pull : public Exchange::Watcher, public std::enable_shared_from_this<Pull> {
 public:
  Pull(std::shared_ptr<Exchange> exchange, PullAsk ask, const Refuse& refuse)
      : exchange_(std::move(exchange)), ask_(std::move(ask)), refuse_(refuse) {}

  bool ended() const { return ended_; }
  void give_up() { gone_ = true; }
  void run();

  void on_gone() override {
    gone_ = true;
    exchange_.reset();
  }
  void on_slow(bool slow) override { slow_ = slow; }
  void on_quiet() override {}

 private:
  void show(const engine::PullProgress& progress);
  void tell(const Json& line);
  void end(std::exception_ptr error);
  /// To the strand, unless the client left.
  template <typename What>
  void post(What what) {
    poster_->post([self = shared_from_this(), what = std::move(what)] {
      if (self->exchange_) what(*self);
    });
  }

  std::shared_ptr<Exchange> exchange_;            // the strand's; null once the client left
  std::shared_ptr<Exchange> poster_ = exchange_;  // the thread's
  const PullAsk ask_;
  const Refuse& refuse_;
  std::atomic<bool> gone_ = false, slow_ = false, ended_ = false;
  bool started_ = false;                                                // the head is told
  std::map<std::string, std::pair<uint64_t, Clock::time_point>> told_;  // of each file
};

void Pulls::Pull::run() {
  std::exception_ptr error;
  try {
    engine::PullCallbacks callbacks;
    callbacks.progress = [this](const engine::PullProgress& progress) { show(progress); };
    engine::pull(engine::ModelStore(), ask_.model, engine::PullOptions::from_environment(),
                 callbacks);
  } catch (...) {
    error = std::current_exception();
  }
  end(std::move(error));
  poster_.reset();
  ended_ = true;
}

/// Throws where nobody waits any longer.
void Pulls::Pull::show(const engine::PullProgress& progress) {
  if (gone_) fail(ErrorKind::io, "{}: the client left", ask_.model);
  if (!ask_.stream) return;
  for (const auto& file : progress.files) {
    auto& [bytes, at] = told_[file.name];
    const bool is_new = at == Clock::time_point{};
    const bool is_whole = file.done.count == file.bytes.count;
    if (!is_new &&
        (bytes == file.done.count || (!is_whole && (slow_ || Clock::now() < at + kTellEvery))))
      continue;
    bytes = file.done.count;
    at = Clock::now();
    tell(file_line(file));
  }
}

void Pulls::Pull::tell(const Json& line) {
  post([text = dump(line) + "\n"](Pull& self) {
    if (!std::exchange(self.started_, true)) {
      self.exchange_->start("application/x-ndjson", {});
      self.exchange_->write(dump(status_line("pulling manifest")) + "\n");
    }
    self.exchange_->write(text);
  });
}

void Pulls::Pull::end(std::exception_ptr error) {
  if (!error && ask_.stream) {
    tell(status_line("verifying sha256 digest"));  // which was done as they came
    tell(status_line(fmt::format("stored; `sluice serve {}` serves it", ask_.model)));
    tell(status_line("success"));
  }
  post([error = std::move(error)](Pull& self) {
    const std::shared_ptr<Exchange> exchange = std::move(self.exchange_);
    if (error && self.started_) {
      exchange->write(dump({{"error", refusal_of(error).what()}}) + "\n");
    } else if (error) {
      exchange->reply(self.refuse_(exchange->request(), refusal_of(error)));
    } else if (!self.ask_.stream) {
      exchange->reply({.body = dump(status_line("success"))});
    }
    exchange->finish();
    exchange->watch(nullptr);
  });
}

Pulls::~Pulls() {
  for (Running& running : running_) running.pull->give_up();
  for (Running& running : running_) running.thread.join();
}

void Pulls::begin(const std::shared_ptr<Exchange>& exchange, const PullAsk& ask) {
  const std::lock_guard lock(mutex_);
  std::erase_if(running_, [](Running& running) {
    const bool ended = running.pull->ended();
    if (ended) running.thread.join();
    return ended;
  });
  if (running_.size() >= kMost) {
    Refusal refusal(429, fmt::format("{} models are being pulled, which is the most", kMost));
    refusal.retry_after = 10;
    throw Refusal(refusal);
  }
  const auto pull = std::make_shared<Pull>(exchange, ask, refuse_);
  exchange->watch(pull);
  running_.push_back({pull, start_thread("pulls a model", [pull] { pull->run(); })});
}

}  // namespace sluice::server
