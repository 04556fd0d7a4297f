#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sluice/models/family.h"

namespace sluice::models {

/// The family that implements `architecture`: config.json's model_type or GGUF's
/// general.architecture. Throws Error(unsupported) with the names most like it.
const Family& find_family(std::string_view architecture);

/// Of a model that also sees and whose own name no family has: that of its text part. From then on the source knows the family's own names
/// of config.json's keys.
const Family& family_of(const Source& source);

/// All names find_family knows, sorted.
std::vector<std::string> architectures();

}  // namespace sluice::models
