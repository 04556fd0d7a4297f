#pragma once

#include "sluice/server/dialects/dialect.h"
#include "sluice/server/dialects/fields.h"

namespace sluice::server {

/// OpenAI's response_format: {"type": "text" | "json_object" | "json_schema", "json_schema": {"schema"}}.
void read_response_format(Fields& body, Ask& ask, const Limits& limits);
/// Responses' text.format and Anthropic's output_config.format: the schema stands beside the type.
void read_flat_format(Fields& format, Ask& ask, const Limits& limits);
/// Grammars by the names of vLLM (structured_outputs, guided_*) and llama-server (grammar, json_schema).
void read_grammars(Fields& body, Ask& ask, const Limits& limits);

/// reasoning_effort ("none" ... "max") as a switch and a variable of the template.
void set_effort(const std::string& effort, Ask::Chat& chat);
/// reasoning_effort, reasoning, think, thinking, enable_thinking and chat_template_kwargs into one switch.
void read_reasoning(Fields& body, Ask::Chat& chat, const Limits& limits);

/// logprobs and top_logprobs of a chat.
void read_chat_logprobs(Fields& body, Ask& ask, const Limits& limits);

}  // namespace sluice::server
