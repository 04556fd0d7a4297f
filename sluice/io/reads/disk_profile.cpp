#include "sluice/io/reads/disk_profile.h"

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "sluice/base/atomic_file.h"
#include "sluice/base/error.h"
#include "sluice/io/formats/json_file.h"
#include "sluice/io/reads/aligned_span.h"

namespace sluice::io {
namespace {

constexpr uint64_t kRead = 16 << 20;  // at a time
constexpr int kRounds = 2;
constexpr uint64_t kSmallest = 64 << 20;
constexpr std::array<uint64_t, 3> kPieces = {256 << 10, 1 << 20, 2 << 20};
constexpr std::array<int, 3> kDepths = {4, 8, 16};
constexpr size_t kDefault = 4;  // of the nine combinations; tried first
constexpr std::chrono::seconds kLongest{1};
constexpr double kCloseEnough = 0.90;
constexpr std::chrono::hours kBelieved{7 * 24};

struct FreeBuffer {
  void operator()(std::byte* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<std::byte, FreeBuffer>;

/// Bytes per second of reading pieces at random places of the file.
double measure(const ModelFile& file, DiskProfile& profile, std::byte* buffer,
               std::mt19937_64& random) {
  AsyncReader reader(
      {file},
      {.depth = profile.depth, .piece_bytes = profile.piece_bytes, .direct = profile.direct});
  profile.direct = reader.is_direct(0);
  std::vector<ReadRequest> requests;
  const uint64_t places = file.bytes / profile.piece_bytes;
  for (uint64_t at = 0; at < kRead; at += profile.piece_bytes) {
    requests.push_back(
        {0, random() % places * profile.piece_bytes, profile.piece_bytes, buffer + at});
  }
  const auto start = std::chrono::steady_clock::now();
  reader.wait(reader.submit(requests));
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  return static_cast<double>(kRead) / spent.count();
}

/// "disk-66305-1c5f3e-270582939648.json", nullopt when the file is not there. The device's number alone may
/// be another's after the next start: file systems without a device of their own get any that is free.
std::optional<std::string> cache_name(const std::filesystem::path& file) {
  struct stat status {};
  struct statvfs system {};
  if (::stat(file.c_str(), &status) != 0 || ::statvfs(file.c_str(), &system) != 0) {
    return std::nullopt;
  }
  return fmt::format("disk-{}-{:x}-{}.json", status.st_dev, system.f_fsid,
                     uint64_t{system.f_blocks} * system.f_frsize);
}

std::optional<DiskProfile> read_profile(const std::filesystem::path& path) {
  try {
    const auto written = std::filesystem::last_write_time(path);
    if (std::filesystem::file_time_type::clock::now() - written > kBelieved) return std::nullopt;
    const nlohmann::json json = read_json_file(path);
    const DiskProfile profile{json.at("piece_bytes"), json.at("depth"), json.at("direct"),
                              json.at("bytes_per_second")};
    const bool known =
        std::find(kPieces.begin(), kPieces.end(), profile.piece_bytes) != kPieces.end() &&
        std::find(kDepths.begin(), kDepths.end(), profile.depth) != kDepths.end() &&
        profile.bytes_per_second > 0;
    return known ? std::optional(profile) : std::nullopt;
  } catch (const std::exception&) {  // missing, damaged, or of another version: measured again
    return std::nullopt;
  }
}

void write_profile(const std::filesystem::path& path, const DiskProfile& profile) {
  try {
    std::filesystem::create_directories(path.parent_path());
    AtomicFile file(path);
    file.write(nlohmann::json{{"piece_bytes", profile.piece_bytes},
                              {"depth", profile.depth},
                              {"direct", profile.direct},
                              {"bytes_per_second", profile.bytes_per_second}}
                   .dump());
    file.commit();
  } catch (const std::exception&) {  // then it is measured again
  }
}

}  // namespace

DiskProfile measure_disk(const std::filesystem::path& file) {
  std::error_code error;
  const ModelFile model{file, std::filesystem::file_size(file, error)};
  if (error || model.bytes < kSmallest) return {};
  const Buffer buffer(static_cast<std::byte*>(std::aligned_alloc(kDirectAlignment, kRead)));
  if (buffer == nullptr) return {};
  std::fill_n(buffer.get(), kRead, std::byte{});  // its pages are there before the clock runs
  std::vector<DiskProfile> tried;
  for (const int depth : kDepths) {
    for (const uint64_t piece : kPieces) tried.push_back({piece, depth});
  }
  // Other places each time: a drive, or a virtual machine's host, may have those of the last probe in memory.
  std::mt19937_64 random(std::random_device{}());
  const auto start = std::chrono::steady_clock::now();
  try {
    for (size_t i = 0; i < kRounds * tried.size(); ++i) {
      if (std::chrono::steady_clock::now() - start > kLongest) break;
      DiskProfile& profile = tried[(kDefault + i) % tried.size()];
      // The better round counts: others on the disk only ever make it slower.
      profile.bytes_per_second =
          std::max(profile.bytes_per_second, measure(model, profile, buffer.get(), random));
    }
  } catch (const Error&) {
    return {};
  }
  double best = 0;
  for (const DiskProfile& profile : tried) best = std::max(best, profile.bytes_per_second);
  if (tried[kDefault].bytes_per_second >= kCloseEnough * best) return tried[kDefault];
  return *std::find_if(tried.begin(), tried.end(), [&](const DiskProfile& profile) {
    return profile.bytes_per_second >= kCloseEnough * best;
  });
}

DiskProfile disk_profile(const std::filesystem::path& file, const std::filesystem::path& cache) {
  const auto name = cache_name(file);
  if (!name) return {};
  if (const auto known = read_profile(cache / *name)) return *known;
  const DiskProfile found = measure_disk(file);
  if (found.bytes_per_second > 0) write_profile(cache / *name, found);
  return found;
}

}  // namespace sluice::io
