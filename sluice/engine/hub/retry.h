#pragma once

#include <chrono>
#include <string>

#include "sluice/engine/hub/http_client.h"

namespace sluice::engine {

struct RetryOptions {
  int tries = 5;                              ///< in a row without progress
  std::chrono::milliseconds first_wait{500};  ///< doubles from try to try, up to 8 s
};

/// Between two looks at transfers that wait for data or for their next try.
inline constexpr std::chrono::milliseconds kTransferTick{50};

/// Counts failures in a row and says when to try again.
class Backoff {
 public:
  explicit Backoff(const RetryOptions& options) : options_(options), wait_(options.first_wait) {}

  bool due() const { return std::chrono::steady_clock::now() >= not_before_; }
  void reset();
  /// `what` names what was asked for. Throws Error(bad_request) where the user can mend it (a login, a name), Error(io)
  /// when the failure cannot pass or came too often.
  void after_failure(const std::string& what, const HttpClient& client,
                     const HttpResponse& response);

 private:
  RetryOptions options_;
  std::chrono::milliseconds wait_;
  int failed_ = 0;
  std::chrono::steady_clock::time_point not_before_{};
};

}  // namespace sluice::engine
