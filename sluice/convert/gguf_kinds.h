#pragma once

#include <string>
#include <string_view>

#include "sluice/convert/source_model.h"

namespace sluice::convert {

/// A family that was tried in both kinds of file: what ggml's converter does to its tensors.
struct GgufKind {
  std::string_view model_type, architecture;
  bool pairs = false;    ///< q and k rows are reordered: ggml rotates (2i, 2i + 1)
  bool shifted = false;  ///< norms get the 1 that the family adds to them
};

/// Of a directory's model_type or a GGUF's architecture. Throws Error(unsupported) naming those that were tried.
const GgufKind& gguf_kind_of(const SourceModel& model);

}  // namespace sluice::convert
