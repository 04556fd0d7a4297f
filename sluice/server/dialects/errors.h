#pragma once

#include <string>

#include "sluice/server/ask.h"

namespace sluice::server {

/// The inside of each API's error, for streams too.
Json openai_error_object(const Refusal& refusal);     ///< {"message", "type", "param", "code"}
Json anthropic_error_object(const Refusal& refusal);  ///< {"type", "message"}
/// The message in words by which OpenAI's clients recognise a context that is full.
std::string openai_message(const Refusal& refusal);

}  // namespace sluice::server
