#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "sluice/base/bytes.h"

namespace sluice::engine {

/// Whether and how prefixes outlive the process.
struct DiskCacheOptions {
  static constexpr Bytes kUsualCap{10'000'000'000};
  static constexpr Bytes kUsualDaily{20'000'000'000};

  std::filesystem::path folder = {};  ///< empty: they do not
  /// Of all block files; kept for whoever asks next without one. Unset: what was asked for last, or kUsualCap.
  std::optional<Bytes> cap = std::nullopt;
  Bytes daily = kUsualDaily;       ///< most that is written from midnight to midnight (UTC)
  Bytes keep_free{2'000'000'000};  ///< of the file system, for others
  /// What people call the partition of this salt; others are shown by a hash.
  std::string named_salt = {};
  /// Gets a line when something is wrong that harms nobody: a damaged file, a full disk. Any thread calls it.
  std::function<void(std::string_view)> log = {};
  /// For tests: reads and writes also where computing is faster.
  bool even_if_slower = false;
};

}  // namespace sluice::engine
