#pragma once

#include <memory>
#include <string>

#include "sluice/cli/chat_partner.h"
#include "sluice/cli/sampling_options.h"

namespace sluice::cli {

struct RemoteOptions {
  std::string url = {};      ///< of a server of OpenAI's API, with or without /v1
  std::string api_key = {};  ///< empty: none
  std::string model = {};    ///< empty: the server's default one
  SamplingOptions sampling = {};
  int64_t max_tokens = 1024;
};

/// A server's model. Throws Error(bad_request) for a URL that is none; its answers throw Error(io) where the server
/// cannot be reached, breaks off or says what is none of the API's, and Error(bad_request) with what it refuses.
std::unique_ptr<ChatPartner> make_remote_partner(RemoteOptions options);

}  // namespace sluice::cli
