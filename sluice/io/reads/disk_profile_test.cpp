#include "sluice/io/reads/disk_profile.h"

#include <gtest/gtest.h>

#include "sluice/io/reads/reader_test_files.h"

namespace sluice::io {
namespace {

std::vector<std::filesystem::path> entries(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) found.push_back(entry);
  return found;
}

TEST(DiskProfile, a_small_or_missing_file_gives_the_defaults_and_leaves_no_cache) {
  const TestDirectory cache;
  const RandomFile file(1'000'000);
  for (const auto& path : {file.path(), std::filesystem::path("absent")}) {
    const DiskProfile profile = disk_profile(path, cache.path());
    EXPECT_EQ(profile.bytes_per_second, 0);
    EXPECT_EQ(profile.depth, ReaderOptions{}.depth);
    EXPECT_EQ(profile.piece_bytes, ReaderOptions{}.piece_bytes);
  }
  EXPECT_TRUE(entries(cache.path()).empty());
}

TEST(DiskProfile, is_measured_once_and_a_damaged_cache_is_measured_again) {
  const TestDirectory directory;
  const RandomFile file(70'000'000);
  const auto cache = directory.path() / "made" / "here";
  const DiskProfile first = disk_profile(file.path(), cache);
  EXPECT_GT(first.bytes_per_second, 0);
  const auto kept = entries(cache);
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(disk_profile(file.path(), cache).bytes_per_second, first.bytes_per_second);
  for (const char* damage :
       {"", "{", "{}", R"({"piece_bytes":0,"depth":4,"direct":true,"bytes_per_second":1})",
        R"({"piece_bytes":"x","depth":4,"direct":true,"bytes_per_second":1})"}) {
    std::ofstream(kept[0]) << damage;
    EXPECT_GT(disk_profile(file.path(), cache).bytes_per_second, 1);
  }
}

TEST(DiskProfile, is_a_matter_of_a_second) {
  const RandomFile file(70'000'000);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_GT(measure_disk(file.path()).bytes_per_second, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));  // busy machines
}

TEST(DiskProfile, is_believed_for_a_week) {
  const TestDirectory cache;
  const RandomFile file(70'000'000);
  (void)disk_profile(file.path(), cache.path());
  const auto kept = entries(cache.path());
  ASSERT_EQ(kept.size(), 1u);
  std::ofstream(kept[0])
      << R"({"piece_bytes":1048576,"depth":8,"direct":true,"bytes_per_second":1})";
  const auto now = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(kept[0], now - std::chrono::hours(6 * 24));
  EXPECT_EQ(disk_profile(file.path(), cache.path()).bytes_per_second, 1);
  std::filesystem::last_write_time(kept[0], now - std::chrono::hours(8 * 24));
  EXPECT_GT(disk_profile(file.path(), cache.path()).bytes_per_second, 1);
}

}  // namespace
}  // namespace sluice::io
