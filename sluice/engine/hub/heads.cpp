#include "sluice/engine/hub/heads.h"

#include <algorithm>
#include <memory>
#include <thread>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace {

/// One head through all its requests, each for what is wanted beyond what is there.
class HeadDownload {
 public:
  HeadDownload(const Head& head, const RetryOptions& retry) : head_(head), backoff_(retry) {
    go_on();
  }

  bool finished() const { return finished_; }
  bool can_start() const { return !finished_ && !requested_ && backoff_.due(); }
  uint64_t target() const { return target_; }

  void start(HttpClient& client) {
    requested_ = true;
    position_ = beginning_.size();
    first_piece_ = true;
    HttpRequest request;
    request.url = head_.url;
    request.range_start = position_;
    request.range_end = target_;
    request.on_body = [this](const HttpResponse& r, std::string_view data) {
      return take(r, data);
    };
    request.on_done = [this, &client](const HttpResponse& r) { end(client, r); };
    client.start(std::move(request));
  }

 private:
  /// Asks for more, or ends.
  void go_on() {
    target_ = std::min(head_.wanted(beginning_), head_.file_bytes);
    if (target_ > beginning_.size()) return;
    head_.done(std::move(beginning_));
    finished_ = true;
  }

  /// False when it needs no more, or the server sends what was not asked for.
  bool take(const HttpResponse& response, std::string_view data) {
    if (std::exchange(first_piece_, false)) {
      if (response.status != 206) position_ = 0;  // the whole file
      if (response.status == 206 &&
          !response.content_range.starts_with(fmt::format("bytes {}-", position_)))
        return false;
    }
    // What is there already is not taken again.
    const uint64_t known = std::min<uint64_t>(beginning_.size() - position_, data.size());
    const std::string_view fresh = data.substr(known);
    const uint64_t missing = target_ - beginning_.size();
    beginning_ += fresh.substr(0, missing);
    position_ += data.size();
    // An answer to the range ends by itself, which keeps the connection.
    return response.status == 206 ? fresh.size() <= missing : beginning_.size() < target_;
  }

  void end(const HttpClient& client, const HttpResponse& response) {
    requested_ = false;
    if (response.status / 100 == 2 && beginning_.size() == target_) {
      backoff_.reset();
      go_on();
      return;
    }
    HttpResponse failed = response;
    if (response.status / 100 == 2 && response.failure.empty()) {
      failed.failure = fmt::format("the server sends {} of {} bytes", beginning_.size(), target_);
    }
    backoff_.after_failure(head_.name, client, failed);
  }

  const Head& head_;
  Backoff backoff_;
  std::string beginning_;
  uint64_t target_ = 0;    // as many bytes of it are wanted
  uint64_t position_ = 0;  // in the file, of the next byte that comes
  bool requested_ = false;
  bool first_piece_ = false;
  bool finished_ = false;
};

struct CancelAtExit {
  HttpClient& client;
  ~CancelAtExit() { client.cancel(); }
};

}  // namespace

void download_heads(HttpClient& client, const std::vector<Head>& heads, Bytes limit, int parallel,
                    const RetryOptions& retry) {
  std::vector<std::unique_ptr<HeadDownload>> running;
  const CancelAtExit cancel{client};
  uint64_t finished_bytes = 0;
  size_t next = 0;
  while (next < heads.size() || !running.empty()) {
    while (next < heads.size() && running.size() < static_cast<size_t>(parallel))
      running.push_back(std::make_unique<HeadDownload>(heads[next++], retry));
    uint64_t bytes = finished_bytes;
    for (const auto& head : running) bytes += head->target();
    if (bytes > limit.count) {
      fail(ErrorKind::io, "{}: the headers up to here come to {}, at most {} are fetched",
           heads[next - 1].name, to_string(Bytes{bytes}), to_string(limit));
    }
    for (const auto& head : running) {
      if (head->can_start()) head->start(client);
    }
    if (client.active() > 0) {
      client.poll(kTransferTick);
    } else {
      std::this_thread::sleep_for(kTransferTick);  // all wait for their next try, or have ended
    }
    std::erase_if(running, [&](const auto& head) {
      if (head->finished()) finished_bytes += head->target();
      return head->finished();
    });
  }
}

}  // namespace sluice::engine
