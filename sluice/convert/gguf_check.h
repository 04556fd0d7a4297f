#pragma once

#include "sluice/convert/plan.h"
#include "sluice/convert/source_model.h"

namespace sluice::convert {

/// Reads the planned GGUF's header as the loader will, and compares what layers would compute with what they compute from the
/// source. Throws Error(unsupported) naming the first difference: a GGUF has no key for it.
void check_says_the_same(const SourceModel& model, const PlannedFile& gguf);

}  // namespace sluice::convert
