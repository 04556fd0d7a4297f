#pragma once

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {

/// What chat/completions and completions share: the model, sampling, stop, n, stream, cache_salt and neutral fields.
void read_openai_common(Fields& body, Ask& ask, const ReadOptions& options);

/// Neutral in all of OpenAI's APIs.
void read_openai_neutral(Fields& body);

/// stream_options; true when a last chunk with the usage is wanted.
bool read_stream_options(Fields& body);

}  // namespace sluice::server
