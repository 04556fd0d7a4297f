#pragma once

#include <functional>
#include <string>

#include "sluice/engine/hub/http_client.h"
#include "sluice/engine/hub/retry.h"

namespace sluice::engine {

/// A request whose answer is waited for.
struct Exchange {
  HttpRequest request = {};    ///< on_body and on_done are set here
  std::string what;            ///< names it in errors
  size_t max_bytes = 1 << 20;  ///< of the answer
  std::function<bool(int)> accepts = [](int status) { return status == 200; };
};

struct Answer {
  int status = 0;
  std::string text;  ///< "" unless the status is 2xx
  std::string etag;
};

/// Sends a request until its answer is one that `accepts` takes. Lost connections and 5xx answers are tried again.
/// Throws as Backoff::after_failure(), and Error(io) for an answer that is too long.
Answer exchange(HttpClient& client, const Exchange& asked, const RetryOptions& retry);

}  // namespace sluice::engine
