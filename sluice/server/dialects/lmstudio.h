#pragma once

#include "sluice/server/ask.h"

namespace sluice::server {

/// {"tokens_per_second", "time_to_first_token", "generation_time", "stop_reason"}, seconds.
Json lmstudio_stats(const Usage& usage, const Ending& ending);

}  // namespace sluice::server
