#pragma once

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {

/// Options of sampling, by every name that OpenAI's clients, llama-server's and Ollama's have for them, into
/// ask.sampling, seed and ignore_eos.
void read_sampling(Fields& fields, Ask& ask, const ReadOptions& options);

/// A string, or an array of strings; empty ones count for nothing.
void read_stops(Fields& fields, std::string_view name, Ask& ask, const Limits& limits);

/// max_tokens under any of these names, the first that is there; -1 is no limit.
void read_max_tokens(Fields& fields, std::initializer_list<std::string_view> names, int64_t least,
                     Ask& ask, const Limits& limits);

/// {"123": -100}; ids are checked when the model is known (check_token_ids).
void read_logit_bias(Fields& fields, Ask& ask, const Limits& limits);

}  // namespace sluice::server
