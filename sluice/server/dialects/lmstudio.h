#pragma once

#include "sluice/server/ask.h"

namespace sluice::server {

/// Adds what LM Studio's answers have beside OpenAI's: "stats" (in seconds), "model_info", "runtime".
void add_lmstudio(Json& body, const Head& head, const Usage& usage, const Ending& ending);

}  // namespace sluice::server
