#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/convert/plan.h"

namespace sluice::convert {

/// Mean squares of the activations that each column meets, by Product::column_path.
using Importance = std::map<std::string, std::vector<float>, std::less<>>;

struct Progress {
  enum class Stage { writing, checking };
  Stage stage = Stage::writing;
  Bytes done, all;
};

struct WriteOptions {
  int n_threads = 1;
  Bytes buffers{64'000'000};  ///< that source and result of a piece take at most
  std::string settings = {};  ///< what the result depends on beside the plan
  const Importance* importance = nullptr;
  std::chrono::milliseconds journal_every{
      1000};  ///< or ten times what it takes; 0: after each matrix
  std::function<void(const Progress&)> progress = {};
};

struct Written {
  Bytes resumed;  ///< that were there from a run that was killed
};

/// Writes the plan's files into `directory`, which may hold the beginning of the same plan's, left by a run that was killed:
/// then only the rest is computed. Every second or so what is done goes to the disk and into a journal. At last all
/// is read back from the disk and compared with checksums made while it was written. Memory: `buffers`, and a row for each thread.
/// Throws Error(io), also when a source changes meanwhile or the disk gave back something else.
Written write_plan(const Plan& plan, const std::filesystem::path& directory,
                   const WriteOptions& options);

/// The journal's name within the directory; it is removed when all was checked.
inline constexpr std::string_view kJournal = ".sluice-convert";

}  // namespace sluice::convert
