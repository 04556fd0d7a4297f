#pragma once

#include <cstdint>

#include "sluice/base/bytes.h"

namespace sluice::engine {

/// What the disk cache did since it was opened.
struct DiskCacheReport {
  int64_t restored_tokens = 0;  ///< that memory did not hold
  Bytes restored, written;
  int64_t blocks_written = 0;
  int64_t blocks_refused = 0;   ///< for want of room, for the day, or since the disk failed
  double token_seconds = 0;     ///< that computing a prompt's token takes; 0: not known
  double bytes_per_second = 0;  ///< of reading blocks, checked; 0: not known
};

}  // namespace sluice::engine
