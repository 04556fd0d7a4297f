#include "sluice/engine/hub/retry.h"

#include <algorithm>

#include "sluice/base/error.h"

namespace sluice::engine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLongestWait{8000};

bool may_pass(const HttpResponse& response) {
  if (response.hopeless) return false;
  const int status = response.status;
  // The address of a store that a hub leads to expires: the hub then gives a new one.
  if (response.elsewhere && (status == 401 || status == 403)) return true;
  return status / 100 == 2 || status == 0 || status == 408 || status == 416 || status == 429 ||
         status >= 500;
}

/// What a user can do about a refusal. A hub also says 401 of what it does not have.
[[noreturn]] void fail_access(const std::string& what, const HttpClient& client, int status) {
  const std::string& page = client.options().page;
  if (client.options().token.empty()) {
    fail(
        ErrorKind::bad_request,
        "{}: the hub answers {}: it is private, gated or not there; accept its licence at {} where "
        "one is asked for, and set HF_TOKEN to a token that may read it",
        what, status, page);
  }
  if (status == 401) {
    fail(ErrorKind::bad_request,
         "{}: the hub answers 401: it does not take the token in HF_TOKEN, which is mistyped, "
         "expired "
         "or another hub's; make a new one in the hub's settings",
         what);
  }
  fail(ErrorKind::bad_request,
       "{}: the hub answers 403: it knows the token in HF_TOKEN, which may not read this; accept "
       "the "
       "licence at {} as the token's owner, and let the token read gated repositories",
       what, page);
}

[[noreturn]] void fail_http(const std::string& what, const HttpClient& client,
                            const HttpResponse& response) {
  const int status = response.status;
  if (!response.elsewhere && (status == 401 || status == 403)) fail_access(what, client, status);
  if (status == 404) fail(ErrorKind::bad_request, "{}: not found (the hub answers 404)", what);
  if (!response.failure.empty()) fail(ErrorKind::io, "{}: {}", what, response.failure);
  fail(ErrorKind::io, "{}: the {} answers {}", what,
       response.elsewhere ? "store that the hub leads to" : "hub", status);
}

}  // namespace

void Backoff::reset() {
  failed_ = 0;
  wait_ = options_.first_wait;
}

void Backoff::after_failure(const std::string& what, const HttpClient& client,
                            const HttpResponse& response) {
  if (!may_pass(response) || ++failed_ >= options_.tries) fail_http(what, client, response);
  const auto asked = std::chrono::duration_cast<std::chrono::milliseconds>(response.retry_after);
  not_before_ = Clock::now() + std::max(wait_, asked);
  wait_ = std::min(wait_ * 2, kLongestWait);
}

}  // namespace sluice::engine
