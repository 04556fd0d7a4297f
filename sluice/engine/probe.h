#pragma once

#include "sluice/engine/engine.h"

namespace sluice::engine {

/// Bytes per second that this machine gives this engine.
struct Bandwidths {
  double memory =
      0;  ///< best of 5 sequential reads of 1 GB by the engine's threads (within a budget: of weights
          ///< that are in memory, again and again)
  double disk =
      0;  ///< the model's largest file read past the page cache; 0 where that cannot be done
};

Bandwidths probe_bandwidths(Engine& engine);

}  // namespace sluice::engine
