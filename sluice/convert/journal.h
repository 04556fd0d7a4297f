#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sluice/convert/plan.h"

namespace sluice::convert {

/// Which of a plan's products are on the disk, with the checksums of their bytes: the first tags.size() of them.
struct Journal {
  std::string plan;  ///< fingerprint
  std::vector<std::string> tags;
};

/// A hash of all that decides the result's bytes: sources with size and time of their last change, layouts, `settings`.
std::string fingerprint(const Plan& plan, const std::string& settings);

/// What a run left there for this plan; nothing else is believed.
Journal read_journal(const std::filesystem::path& path, const std::string& plan);
void write_journal(const std::filesystem::path& path, const Journal& journal);

}  // namespace sluice::convert
