#pragma once

#include "sluice/base/bytes.h"
#include "sluice/io/reads/async_reader.h"
#include "sluice/residency/experts/slots.h"

namespace sluice::residency {

/// What streaming cost since it began, or between two such counts.
struct StreamStatistics {
  io::ReaderStatistics reads;
  SlotStatistics experts;
  Bytes per_expert;  ///< memory of a slot

  double hit_rate() const;  ///< of demanded experts; 1 when none was
  Bytes awaited() const;    ///< of experts that a layer had to wait for
  double overlap()
      const;  ///< share of the time with reads under way in which nobody waited for one
  double bytes_per_second() const;  ///< while reads were under way
};

StreamStatistics operator+(const StreamStatistics& a, const StreamStatistics& b);
StreamStatistics operator-(const StreamStatistics& after, const StreamStatistics& before);

}  // namespace sluice::residency
