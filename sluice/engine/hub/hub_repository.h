#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/engine/hub/http_client.h"
#include "sluice/engine/hub/hub_listing.h"
#include "sluice/engine/hub/retry.h"

namespace sluice::engine {

struct PullOptions {
  std::string endpoint = "https://huggingface.co";
  std::string token;    ///< sent to the endpoint's own host only; "" for none
  std::string offline;  ///< the environment variable that forbids to ask any hub; "" when none does
  std::string revision = "main";   ///< branch, tag or commit
  int parallel = 4;                ///< files at a time
  int tries = 5;                   ///< in a row without progress
  std::chrono::seconds stall{30};  ///< a transfer slower than 1000 B/s for so long is tried again

  /// With HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE where they are set; without HF_TOKEN, the token is what
  /// the hub's own client left in HF_TOKEN_PATH, $HF_HOME/token or ~/.cache/huggingface/token.
  static PullOptions from_environment();
};

/// The options without slashes at the endpoint's end. Throws Error(bad_request) for a name that is no model's on a hub, or a
/// forbidden network.
PullOptions checked(std::string_view name, PullOptions options);

/// A model on a hub that speaks Hugging Face's protocol, and the connection to it.
class HubRepository {
 public:
  /// `name`: "org/name" or "org/name:SELECTOR" (see choose_hub_files). Asks for the listing.
  /// Throws Error(bad_request) for a wrong name, a missing model, a missing login or a forbidden network, Error(io) otherwise.
  HubRepository(std::string_view name, const PullOptions& options);

  const std::string& id() const { return id_; }                 ///< "org/name"
  const std::string& selector() const { return selector_; }     ///< "Q4_K_M" or ""
  const std::string& commit() const { return commit_; }         ///< "" when the hub gives none
  const std::vector<HubFile>& files() const { return files_; }  ///< those that make the model
  Bytes bytes() const;                                          ///< of all files

  /// Of a file's content at that commit.
  std::string url(const HubFile& file) const;
  HttpClient& client() { return client_; }
  const RetryOptions& retry() const { return retry_; }

 private:
  PullOptions options_;
  std::string id_, selector_, commit_;
  RetryOptions retry_;
  HttpClient client_;
  std::vector<HubFile> files_;
};

}  // namespace sluice::engine
