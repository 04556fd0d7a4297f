#include "sluice/cli/plan_text.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace sluice::cli {
namespace {

constexpr uint64_t kMB = 1'000'000;

/// A model of four layers that streams within 60 MB, or is mapped within 200 MB.
engine::PlanReport report(uint64_t megabytes, const residency::Machine& machine) {
  residency::Footprint model;
  for (int i = 0; i < 4; ++i) model.layers.push_back({{{10 * kMB}, {5 * kMB}}, 0, 0, {}});
  model.head = {20 * kMB};
  model.vocab_size = 1000;
  model.baseline = {10 * kMB};
  engine::PlanReport r{
      .model = "a\x1b[2Jb", .config = {}, .file_bytes = {80 * kMB}, .bytes_active = {}};
  r.config.architecture = "qwen3";
  r.context = 256;
  r.machine = machine;
  const auto reuse = residency::uniform_reuse();
  r.plan = residency::plan_residency(model, {megabytes * kMB}, 256, machine, reuse);
  r.parts = residency::parts_of(model, r.plan);
  r.table = residency::plan_table(model, 256, 3, machine, reuse);
  return r;
}

TEST(PlanText, a_bar_is_as_long_as_its_share) {
  EXPECT_EQ(bar(0, 4, BarStyle::blocks), "");
  EXPECT_EQ(bar(0.5, 4, BarStyle::blocks), "██");
  EXPECT_EQ(bar(0.53125, 4, BarStyle::blocks), "██▏");
  EXPECT_EQ(bar(1, 4, BarStyle::blocks), "████");
  EXPECT_EQ(bar(7, 4, BarStyle::ascii), "####");
  EXPECT_EQ(bar(0.4, 4, BarStyle::ascii), "##");
}

TEST(PlanText, fits_a_terminal_and_shows_no_escapes) {
  const std::string text = to_text(report(60, {30e9, 2e9}), BarStyle::ascii);
  EXPECT_EQ(text.find('\x1b'), text.npos);
  EXPECT_NE(text.find("streamed"), text.npos) << text;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 96u) << line;
}

TEST(PlanText, without_a_disk_speed_there_is_no_speed_but_where_all_is_mapped) {
  const engine::PlanReport streamed = report(60, {30e9, 0});
  EXPECT_NE(to_text(streamed, BarStyle::ascii).find("--sim-disk"), std::string::npos);
  EXPECT_TRUE(to_json(streamed)["expected_tps"].is_null());
  EXPECT_TRUE(to_json(streamed)["disk_bandwidth"].is_null());
  EXPECT_GT(to_json(report(200, {30e9, 0}))["expected_tps"], 0);
}

TEST(PlanText, a_line_says_how_it_runs) {
  EXPECT_NE(to_line(report(200, {30e9, 2e9})).find(": runs here, all in "), std::string::npos);
  const std::string streamed = to_line(report(60, {30e9, 2e9}));
  EXPECT_NE(streamed.find("within 60.0 MB of memory, with "), std::string::npos) << streamed;
  EXPECT_NE(streamed.find(" tok/s"), std::string::npos);
  EXPECT_EQ(to_line(report(60, {30e9, 0})).find("tok/s"), std::string::npos);
  EXPECT_EQ(streamed.find_first_of("\x1b\n"), std::string::npos);
}

TEST(PlanText, what_a_download_takes_is_told_beside_the_room_for_it) {
  engine::PlanReport r = report(200, {30e9, 2e9});
  EXPECT_FALSE(to_json(r).contains("download_bytes"));
  r.download = {.bytes = {80 * kMB}, .room = Bytes{90 * kMB}};
  EXPECT_NE(to_text(r, BarStyle::ascii).find("a download of 80.0 MB, and the disk has room for 90"),
            std::string::npos);
  EXPECT_EQ(to_json(r)["download_room"], 90 * kMB);
  r.download->room = Bytes{70 * kMB};
  EXPECT_NE(to_text(r, BarStyle::ascii).find("does not fit"), std::string::npos);
  r.download->room = std::nullopt;
  EXPECT_TRUE(to_json(r)["download_room"].is_null());
}

}  // namespace
}  // namespace sluice::cli
