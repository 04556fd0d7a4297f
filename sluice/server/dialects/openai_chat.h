#pragma once

#include <memory>
#include <string_view>

#include "sluice/server/ask.h"

namespace sluice::server {

/// LM Studio's is OpenAI's with statistics.
enum class ChatShape { openai, lmstudio };

/// with_usage: a stream's last chunk has the usage.
std::unique_ptr<Writer> openai_chat_writer(const Ask& ask, ChatShape shape, bool with_usage);
std::unique_ptr<Writer> openai_completion_writer(const Ask& ask, ChatShape shape, bool with_usage);

/// {"object", "input_tokens"}
std::unique_ptr<Writer> openai_count_writer(std::string_view object);
/// {"prompt": "<|im_start|>..."}
std::unique_ptr<Writer> rendered_writer();

}  // namespace sluice::server
