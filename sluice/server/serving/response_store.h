#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>

#include "sluice/base/bytes.h"
#include "sluice/server/dialects/dialect.h"

namespace sluice::server {

/// Responses in memory, each for the client that asked for it. Of any thread. The one that was used longest ago goes
/// when there is no room, and each goes when its time is over.
class ResponseStore {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    Bytes bytes{64'000'000};  ///< of their JSON; 0 keeps none
    std::chrono::hours age{24};
    std::function<Clock::time_point()> now = [] { return Clock::now(); };
  };
  explicit ResponseStore(Options options) : options_(std::move(options)) {}

  /// One that is larger than all may be is not kept.
  void keep(const std::string& client, const KeptResponse& response);
  /// nullopt where there is none, or it is another client's.
  std::optional<KeptResponse> find(const std::string& client, const std::string& id);
  /// False likewise.
  bool remove(const std::string& client, const std::string& id);

 private:
  struct Entry {
    std::string client, id, messages, response;
    Clock::time_point kept_at;
    size_t bytes() const { return client.size() + id.size() + messages.size() + response.size(); }
  };
  std::list<Entry>::iterator find_locked(const std::string& client, const std::string& id);
  void drop_locked(std::list<Entry>::iterator entry);

  const Options options_;
  std::mutex mutex_;
  std::list<Entry> entries_;  // the last used first
  size_t bytes_ = 0;
};

}  // namespace sluice::server
