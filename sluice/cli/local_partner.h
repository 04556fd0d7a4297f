#pragma once

#include <memory>

#include "sluice/cli/chat_partner.h"
#include "sluice/cli/model_options.h"
#include "sluice/decode/sampler.h"

namespace sluice::cli {

struct LocalOptions {
  PromptOptions prompt = {};
  decode::SamplerConfig sampling = {};
  int64_t max_tokens = 1024;
};

/// A loaded model, which outlives it.
std::unique_ptr<ChatPartner> make_local_partner(engine::Engine& engine, LocalOptions options);

}  // namespace sluice::cli
