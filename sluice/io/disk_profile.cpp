#include "sluice/io/disk_profile.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>

#include "sluice/base/error.h"
#include "sluice/io/aligned_span.h"
#include "sluice/io/json_file.h"

namespace sluice::io {
namespace {

constexpr uint64_t kRead = 32 << 20;
constexpr uint64_t kSmallest = 64 << 20;
constexpr std::array<uint64_t, 3> kPieces = {256 << 10, 1 << 20, 2 << 20};
constexpr std::array<int, 3> kDepths = {4, 8, 16};
constexpr double kCloseEnough = 0.97;

struct FreeBuffer {
  void operator()(std::byte* p) const { std::free(p); }
};
using Buffer = std::unique_ptr<std::byte, FreeBuffer>;

/// Bytes per second of reading pieces at random places of the file.
double measure(const ModelFile& file, DiskProfile& profile, std::byte* buffer, unsigned seed) {
  AsyncReader reader(
      {file},
      {.depth = profile.depth, .piece_bytes = profile.piece_bytes, .direct = profile.direct});
  profile.direct = reader.is_direct(0);
  std::mt19937_64 random(seed);
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

/// "disk-66305.json", after the device's number; nullopt when the file is not there.
std::optional<std::string> cache_name(const std::filesystem::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return std::nullopt;
  return fmt::format("disk-{}.json", status.st_dev);
}

std::optional<DiskProfile> read_profile(const std::filesystem::path& path) {
  try {
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
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  const auto part = path.parent_path() / fmt::format("{}.{}", path.filename().string(), ::getpid());
  std::ofstream(part) << nlohmann::json{{"piece_bytes", profile.piece_bytes},
                                        {"depth", profile.depth},
                                        {"direct", profile.direct},
                                        {"bytes_per_second", profile.bytes_per_second}};
  std::filesystem::rename(part, path, ignored);
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
  try {
    for (const int depth : kDepths) {
      for (const uint64_t piece : kPieces) {
        DiskProfile profile{piece, depth};
        profile.bytes_per_second =
            measure(model, profile, buffer.get(), static_cast<unsigned>(tried.size()));
        tried.push_back(profile);
      }
    }
  } catch (const Error&) {
    return {};
  }
  double best = 0;
  for (const DiskProfile& profile : tried) best = std::max(best, profile.bytes_per_second);
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
