#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/engine/hub/http_client.h"
#include "sluice/engine/hub/retry.h"

namespace sluice::engine {

/// The beginning of a file, fetched as far as it is wanted.
struct Head {
  std::string name;  ///< in errors
  std::string url;
  uint64_t file_bytes = 0;
  /// How many bytes from the file's start are wanted, seeing the first ones; when it is not more than these, they do.
  std::function<uint64_t(std::string_view beginning)> wanted;
  /// Gets them in the end.
  std::function<void(std::string&& beginning)> done;
};

/// Gets all heads, `parallel` at a time, by range requests; of a server that knows none it takes the file's start and
/// hangs up. Tries again as download_files does.
/// Throws Error(io) or Error(bad_request) as that, and Error(io) when the heads come to more than `limit`.
void download_heads(HttpClient& client, const std::vector<Head>& heads, Bytes limit, int parallel,
                    const RetryOptions& retry);

}  // namespace sluice::engine
