#include "sluice/base/timeline.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "sluice/base/error.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class TimelineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* const test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = fs::path(::testing::TempDir()) /
            (std::to_string(::getpid()) + "-" + test->name() + ".json");
    fs::remove(path_);
  }
  void TearDown() override { fs::remove(path_); }

  json trace() const { return json::parse(std::ifstream(path_)); }
  std::vector<json> events(const std::string& phase) const {
    std::vector<json> found;
    const json all = trace();
    for (const json& event : all.at("traceEvents")) {
      if (event.at("ph") == phase) found.push_back(event);
    }
    return found;
  }

  fs::path path_;
};

TEST_F(TimelineTest, lanes_and_spans_have_the_documented_shape) {
  Timeline timeline(path_);
  const int compute = timeline.add_lane("compute");
  const int io = timeline.add_lane("io \"0\"\n");
  const int64_t start = Timeline::now_ns();
  timeline.record("attention", compute, start, start + 2'500);
  timeline.record("demand", io, start + 1, start + 1'000'001, {.bytes = 4096, .file = 0});
  const TimelineReport report = timeline.finish();
  EXPECT_EQ(report.events, 2u);
  EXPECT_EQ(report.dropped, 0u);

  const auto metadata = events("M");
  ASSERT_EQ(metadata.size(), 5u);
  EXPECT_EQ(metadata[0]["name"], "process_name");
  EXPECT_EQ(metadata[0]["args"]["name"], "sluice");
  EXPECT_EQ(metadata[1]["name"], "thread_name");
  EXPECT_EQ(metadata[1]["args"]["name"], "compute");
  EXPECT_EQ(metadata[2]["args"]["sort_index"], 1);
  EXPECT_EQ(metadata[3]["args"]["name"], "io \"0\"\n");

  const auto spans = events("X");
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0]["name"], "attention");
  EXPECT_EQ(spans[0]["pid"], metadata[1]["pid"]);
  EXPECT_EQ(spans[0]["tid"], metadata[1]["tid"]);
  EXPECT_EQ(spans[1]["tid"], metadata[3]["tid"]);
  EXPECT_DOUBLE_EQ(spans[0]["dur"], 2.5);  // microseconds
  EXPECT_DOUBLE_EQ(spans[1]["dur"], 1000);
  EXPECT_NEAR(spans[1]["ts"].get<double>() - spans[0]["ts"].get<double>(), 0.001, 0.0011);
  EXPECT_GE(spans[0]["ts"], 0);
  EXPECT_EQ(spans[0]["args"], json::object());
  EXPECT_EQ(spans[1]["args"], (json{{"bytes", 4096}, {"file", 0}}));
}

TEST_F(TimelineTest, a_span_lasts_as_long_as_its_scope) {
  Timeline timeline(path_);
  const int lane = timeline.add_lane("compute");
  {
    const Timeline::Span outer(&timeline, "outer", lane);
    const Timeline::Span inner(&timeline, "inner", lane, {.bytes = 1});
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  timeline.finish();
  const auto spans = events("X");
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0]["name"], "inner");
  EXPECT_GE(spans[0]["dur"], 2000);
  EXPECT_LE(spans[1]["ts"], spans[0]["ts"]);
  EXPECT_GE(spans[1]["dur"], spans[0]["dur"]);
}

TEST_F(TimelineTest, without_a_timeline_a_span_does_nothing) {
  const Timeline::Span span(nullptr, "nothing", 0);
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(TimelineTest, threads_record_at_once_and_nothing_is_lost) {
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  Timeline timeline(path_);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const int lane = timeline.add_lane("worker");
      for (int i = 0; i < kEach; ++i) {
        const Timeline::Span span(&timeline, "work", lane, {.file = i});
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(timeline.finish().events, uint64_t{kThreads * kEach});
  std::map<int, int> next;  // per lane: the span that is to come
  for (const json& span : events("X")) EXPECT_EQ(span["args"]["file"], next[span["tid"]]++);
  EXPECT_EQ(next.size(), size_t{kThreads});
  for (const auto& [lane, n] : next) EXPECT_EQ(n, kEach);
}

TEST_F(TimelineTest, beyond_the_most_the_first_are_kept_and_the_file_says_how_many_are_not) {
  for (const size_t most : {0, 1, 4096, 5000}) {
    Timeline timeline(path_, most);
    const int lane = timeline.add_lane("compute");
    for (int i = 0; i < 10'000; ++i) timeline.record("work", lane, i, i + 1, {.file = i});
    const TimelineReport report = timeline.finish();
    EXPECT_EQ(report.events, most);
    EXPECT_EQ(report.dropped, 10'000 - most);
    const auto spans = events("X");
    ASSERT_EQ(spans.size(), most);
    if (most > 0) {
      EXPECT_EQ(spans.back()["args"]["file"], most - 1);
    }
    EXPECT_EQ(trace()["otherData"]["dropped_events"], std::to_string(10'000 - most));
    ASSERT_EQ(events("i").size(), 1u);
    EXPECT_EQ(events("i")[0]["name"], std::to_string(10'000 - most) + " later events were dropped");
  }
}

TEST_F(TimelineTest, the_file_appears_when_it_is_finished_and_not_otherwise) {
  {
    Timeline timeline(path_);
    timeline.record("work", timeline.add_lane("compute"), 0, 1);
    EXPECT_FALSE(fs::exists(path_));
  }
  EXPECT_FALSE(fs::exists(path_));
  std::ofstream(path_) << "an older one";
  Timeline(path_).finish();
  EXPECT_EQ(fs::file_size(path_), 12U) << "it stays when there is nothing to tell";
  Timeline timeline(path_);
  timeline.record("work", timeline.add_lane("compute"), 0, 1);
  timeline.finish();
  EXPECT_EQ(events("X").size(), 1U);
  timeline.record("too late", 0, 0, 1);
  EXPECT_EQ(timeline.finish().events, 1u);
}

TEST_F(TimelineTest, a_path_that_cannot_be_written_is_an_error_before_the_work) {
  const fs::path path = path_ / "absent" / "trace.json";
  try {
    const Timeline timeline(path);
    ADD_FAILURE() << "was made";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    EXPECT_TRUE(std::string(error.what()).starts_with(path.string())) << error.what();
  }
}

}  // namespace
}  // namespace sluice
