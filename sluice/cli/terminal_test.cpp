#include "sluice/cli/terminal.h"

#include <gtest/gtest.h>

namespace sluice::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Progress, shows_files_under_way_and_the_total) {
  const std::vector<TransferFile> files{{"done.json", {10}, {10}},
                                        {"model.safetensors", {2'000'000'000}, {500'000'000}},
                                        {"later.safetensors", {1'000'000'000}, {0}}};
  const auto lines = progress_lines(files, 50e6, 120);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[0].find("model.safetensors"), std::string::npos);
  EXPECT_NE(lines[0].find("25%"), std::string::npos);
  EXPECT_NE(lines[0].find("500 MB / 2.00 GB"), std::string::npos);
  EXPECT_NE(lines[1].find("3 files"), std::string::npos);
  EXPECT_NE(lines[1].find("50.0 MB/s  0:50 left"), std::string::npos);
}

TEST(Progress, no_line_is_wider_than_the_terminal) {
  const std::vector<TransferFile> files{{std::string(300, 'x'), {2'000'000'000}, {500'000'000}}};
  for (const int width : {20, 40, 79, 80, 200}) {
    for (const std::string& line : progress_lines(files, 123456.0, width)) {
      EXPECT_LE(line.size(), static_cast<size_t>(width));
    }
  }
}

TEST(Progress, escape_sequences_in_names_are_not_sent_to_the_terminal) {
  const auto lines = progress_lines({{"\x1b[2J", {100}, {50}}}, std::nullopt, 80);
  EXPECT_EQ(lines[0].find('\x1b'), std::string::npos);
}

TEST(Progress, nothing_to_fetch_is_complete) {
  EXPECT_NE(progress_lines({}, std::nullopt, 80)[0].find("100%"), std::string::npos);
}

TEST(Progress, the_rate_is_that_of_the_last_seconds) {
  RateMeter meter;
  RateMeter::Time now{};
  EXPECT_FALSE(meter.update({0}, now));
  EXPECT_FALSE(meter.update({10}, now += milliseconds(500)));
  EXPECT_NEAR(*meter.update({2000}, now += milliseconds(500)), 2000.0, 1.0);
  for (int i = 1; i <= 20; ++i)
    meter.update({2000u + 100u * static_cast<unsigned>(i)}, now += seconds(1));
  EXPECT_NEAR(*meter.update({4100}, now += seconds(1)), 100.0, 1.0);
}

TEST(Progress, durations_read_like_a_clock) {
  EXPECT_EQ(format_duration(seconds(5)), "0:05");
  EXPECT_EQ(format_duration(seconds(245)), "4:05");
  EXPECT_EQ(format_duration(seconds(3723)), "1:02:03");
}

}  // namespace
}  // namespace sluice::cli
