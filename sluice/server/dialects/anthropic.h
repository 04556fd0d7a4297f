#pragma once

#include <memory>

#include "sluice/server/ask.h"

namespace sluice::server {

std::unique_ptr<Writer> anthropic_writer(const Ask& ask);
/// {"input_tokens"}
std::unique_ptr<Writer> anthropic_count_writer();

}  // namespace sluice::server
