#include "sluice/engine/hub/exchange.h"

#include <thread>

#include "sluice/base/error.h"

namespace sluice::engine {

Answer exchange(HttpClient& client, const Exchange& asked, const RetryOptions& retry) {
  Answer answer;
  bool complete = false, requested = false;
  Backoff backoff(retry);
  const CancelTransfers cancel{client};
  while (!complete) {
    if (!requested && backoff.due()) {
      answer = {};
      requested = true;
      HttpRequest request = asked.request;
      request.on_body = [&](const HttpResponse&, std::string_view data) {
        if (data.size() > asked.max_bytes - answer.text.size()) {
          fail(ErrorKind::io, "{}: the hub's answer is longer than {} bytes", asked.what,
               asked.max_bytes);
        }
        answer.text += data;
        return true;
      };
      request.on_done = [&](const HttpResponse& response) {
        requested = false;
        complete = asked.accepts(response.status) && response.failure.empty();
        answer.status = response.status;
        answer.etag = response.etag;
        if (!complete) backoff.after_failure(asked.what, client, response);
      };
      client.start(std::move(request));
    }
    if (client.active() > 0) {
      client.poll(kTransferTick);
    } else if (!complete) {
      std::this_thread::sleep_for(kTransferTick);
    }
  }
  return answer;
}

}  // namespace sluice::engine
