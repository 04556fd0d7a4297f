#include "sluice/io/reads/read_trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "sluice/io/reads/reader_test_files.h"

namespace sluice::io {
namespace {

/// A reader's timeline as it was written. Spans are those of pieces; waits are counted.
class Drawing {
 public:
  Drawing() : timeline_(path()) {}
  Timeline* timeline() { return &timeline_; }

  std::vector<nlohmann::json> spans() {
    timeline_.finish();
    const nlohmann::json all = nlohmann::json::parse(std::ifstream(path()));
    std::vector<nlohmann::json> found;
    for (const auto& event : all["traceEvents"]) {
      if (event["ph"] == "X" && event["name"] == "wait") ++waits_;
      if (event["ph"] == "X" && event["name"] != "wait") found.push_back(event);
      if (event["name"] == "thread_name") lanes_.push_back(event["args"]["name"]);
    }
    return found;
  }
  const std::vector<std::string>& lanes() const { return lanes_; }
  int waits() const { return waits_; }

 private:
  std::filesystem::path path() const { return directory_.path() / "trace.json"; }
  TestDirectory directory_;
  Timeline timeline_;
  std::vector<std::string> lanes_;
  int waits_ = 0;
};

std::multiset<std::string> names(const std::vector<nlohmann::json>& spans) {
  std::multiset<std::string> found;
  for (const auto& span : spans) found.insert(span["name"]);
  return found;
}

class ReadTraceTest : public ReaderTest {
 protected:
  ReaderOptions options(Drawing& drawing) const {
    return {
        .kind = GetParam(), .depth = 3, .piece_bytes = 64 << 10, .timeline = drawing.timeline()};
  }
};

TEST_P(ReadTraceTest, every_piece_is_a_span_and_no_lane_holds_two_at_once) {
  const RandomFile file(2'000'000);
  Drawing drawing;
  uint64_t bytes = 0;
  {
    AsyncReader reader(file.files(), options(drawing));
    std::deque<Landing> landings;
    std::vector<ReadRequest> requests;
    for (uint64_t i = 0; i < 10; ++i) {
      const Landing& landing = landings.emplace_back(i * 200'000, 150'000);
      requests.push_back(landing.request(i % 2 == 0 ? Priority::demand : Priority::prefetch));
    }
    const auto tickets = reader.submit(requests);
    for (const Ticket& ticket : tickets) {
      while (!ticket->over()) std::this_thread::yield();
    }
    for (const auto& landing : landings) EXPECT_TRUE(landing.holds(file.contents()));
    bytes = reader.statistics().bytes;
  }
  const auto spans = drawing.spans();
  EXPECT_EQ(drawing.lanes(), (std::vector<std::string>{"waits for reads", "io 0", "io 1", "io 2"}));
  EXPECT_EQ(names(spans).count("demand"), names(spans).count("prefetch"));
  EXPECT_EQ(names(spans).count("demand") * 2, spans.size());
  int64_t drawn = 0;
  std::map<int, std::vector<std::pair<double, double>>> lanes;
  for (const auto& span : spans) {
    drawn += span["args"]["bytes"].get<int64_t>();
    EXPECT_EQ(span["args"]["file"], 0);
    lanes[span["tid"]].push_back(
        {span["ts"], span["ts"].get<double>() + span["dur"].get<double>()});
  }
  EXPECT_EQ(drawn, static_cast<int64_t>(bytes));
  for (auto& [lane, times] : lanes) {
    std::sort(times.begin(), times.end());
    for (size_t i = 1; i < times.size(); ++i)
      EXPECT_LE(times[i - 1].second, times[i].first + 0.002);
  }
}

TEST_P(ReadTraceTest, late_prefetches_and_failed_reads_have_names_of_their_own) {
  const RandomFile file(100'000);
  Drawing drawing;
  {
    std::atomic<bool> promoted{false};
    ReaderOptions with_faults = options(drawing);
    with_faults.tamper = [&](size_t, uint64_t offset, int64_t answer) -> int64_t {
      if (offset != 0) return -EIO;
      while (!promoted) std::this_thread::yield();
      return answer;
    };
    AsyncReader reader(file.files(), with_faults);
    const Landing late(0, 4096);
    const Ticket ticket = reader.submit({{late.request(Priority::prefetch)}}).front();
    while (ticket->state() == ReadState::queued) std::this_thread::yield();
    reader.promote(ticket);
    promoted = true;
    reader.wait(ticket);
    const Landing broken(8192, 4096);
    EXPECT_THROW(reader.wait(reader.submit({{broken.request()}})), Error);
  }
  EXPECT_EQ(names(drawing.spans()), (std::multiset<std::string>{"failed read", "late prefetch"}));
}

TEST_P(ReadTraceTest, a_short_answer_lengthens_its_span) {
  const RandomFile file(100'000);
  Drawing drawing;
  {
    ReaderOptions short_answers = options(drawing);
    short_answers.tamper = [](size_t, uint64_t, int64_t answer) {
      return std::min<int64_t>(answer, 4096);
    };
    AsyncReader reader(file.files(), short_answers);
    const Landing landing(0, 5 * 4096);
    reader.wait(reader.submit({{landing.request()}}));
    EXPECT_TRUE(landing.holds(file.contents()));
  }
  const auto spans = drawing.spans();
  EXPECT_EQ(drawing.waits(), 1);
  ASSERT_EQ(spans.size(), 1u);
  EXPECT_EQ(spans[0]["args"]["bytes"], 5 * 4096);
}

INSTANTIATE_TEST_SUITE_P(Kinds, ReadTraceTest,
                         ::testing::Values(ReaderKind::io_uring, ReaderKind::threads),
                         [](const auto& kind) {
                           return kind.param == ReaderKind::io_uring ? "io_uring" : "threads";
                         });

}  // namespace
}  // namespace sluice::io
