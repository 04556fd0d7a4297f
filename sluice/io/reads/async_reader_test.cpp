#include "sluice/io/reads/async_reader.h"

#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "sluice/io/reads/reader_test_files.h"

namespace sluice::io {
namespace {

class AsyncReaderTest : public ReaderTest {
 protected:
  using ReaderTest::options;
  ReaderOptions options(Gate& gate, int depth) const {
    ReaderOptions options = ReaderTest::options(
        [&gate](size_t, uint64_t offset, int64_t answer) { return gate.pass(offset, answer); });
    options.depth = depth;
    return options;
  }
};

TEST_P(AsyncReaderTest, random_extents_arrive_as_the_file_has_them) {
  const RandomFile file(3'000'001);
  for (const bool direct : {true, false}) {
    ReaderOptions some = options();
    some.direct = direct;
    some.piece_bytes = 64 << 10;
    some.depth = 7;
    AsyncReader reader(file.files(), some);
    EXPECT_TRUE(direct || !reader.is_direct(0));
    std::mt19937 random(7);
    for (int round = 0; round < 20; ++round) {
      std::deque<Landing> landings;
      std::vector<ReadRequest> requests;
      for (int i = 0; i < 20; ++i) {
        const uint64_t offset = random() % file.contents().size();
        const uint64_t most = file.contents().size() - offset;
        const Landing& landing = landings.emplace_back(offset, 1 + random() % most % 500'000);
        requests.push_back(landing.request(i % 3 == 0 ? Priority::prefetch : Priority::demand));
      }
      reader.wait(reader.submit(requests));
      for (const Landing& landing : landings) ASSERT_TRUE(landing.holds(file.contents()));
    }
    EXPECT_EQ(reader.statistics().requests, 400u);
    EXPECT_EQ(reader.statistics().failed, 0u);
    EXPECT_GT(reader.statistics().busy_seconds, 0);
    EXPECT_GE(reader.statistics().mean_depth, 1);
    EXPECT_LE(reader.statistics().mean_depth, 7);
  }
}

TEST_P(AsyncReaderTest, the_last_bytes_of_a_file_that_ends_inside_a_page_arrive) {
  const RandomFile file(10'001);
  AsyncReader reader(file.files(), options());
  const Landing landing(9'990, 11);
  reader.wait(submit(reader, landing));
  EXPECT_TRUE(landing.holds(file.contents()));
}

TEST_P(AsyncReaderTest, neighbours_that_touch_in_file_and_memory_are_one_read) {
  const RandomFile file(100'000);
  AsyncReader reader(file.files(), options());
  const Landing all(0, 50'000);
  std::vector<ReadRequest> requests;
  for (uint64_t offset = 0; offset < 50'000; offset += 5'000) {
    requests.push_back({0, offset, 5'000, all.data() + offset});
  }
  const auto tickets = reader.submit(requests);
  reader.wait(tickets);
  EXPECT_TRUE(all.holds(file.contents()));
  EXPECT_EQ(reader.statistics().requests, 10u);
  EXPECT_EQ(reader.statistics().pieces, 1u);
  EXPECT_FALSE(reader.cancel(tickets[0]));
}

TEST_P(AsyncReaderTest, a_gap_between_requests_is_not_written) {
  const RandomFile file(100'000);
  AsyncReader reader(file.files(), options());
  const Landing all(0, 40'960);
  const std::vector<ReadRequest> requests = {{0, 0, 4'096, all.data()},
                                             {0, 12'288, 4'096, all.data() + 12'288}};
  reader.wait(reader.submit(requests));
  for (size_t i = 4'096; i < 12'288; ++i) ASSERT_EQ(all.data()[i], std::byte{0x55});
}

TEST_P(AsyncReaderTest, demand_starts_before_waiting_prefetches) {
  const RandomFile file(100 * 4096);
  Gate gate;
  AsyncReader reader(file.files(), options(gate, 1));
  std::deque<Landing> landings;
  std::vector<Ticket> tickets;
  const auto submit_page = [&](uint64_t page, Priority priority) {
    tickets.push_back(submit(reader, landings.emplace_back(page * 4096, 4096), priority));
  };
  submit_page(0, Priority::prefetch);
  gate.wait_for_arrivals(1);  // the only lane is taken
  submit_page(10, Priority::prefetch);
  submit_page(20, Priority::prefetch);
  submit_page(30, Priority::demand);
  submit_page(40, Priority::demand);
  reader.promote(tickets[2]);
  EXPECT_EQ(tickets[0]->state(), ReadState::started);
  EXPECT_EQ(tickets[3]->state(), ReadState::queued);
  gate.open();
  reader.wait(tickets);
  EXPECT_EQ(gate.offsets(), (std::vector<uint64_t>{0, 30 * 4096, 40 * 4096, 20 * 4096, 10 * 4096}));
}

TEST_P(AsyncReaderTest, prefetches_leave_half_of_the_lanes_to_demand) {
  const RandomFile file(100 * 4096);
  Gate gate;
  ReaderOptions four = options(gate, 4);
  four.kind = ReaderKind::threads;  // the gate holds the ring's only thread
  AsyncReader reader(file.files(), four);
  std::deque<Landing> landings;
  std::vector<Ticket> tickets;
  for (uint64_t page = 0; page < 10; ++page) {
    const Landing& landing = landings.emplace_back(page * 8192, 4096);
    tickets.push_back(submit(reader, landing, Priority::prefetch));
  }
  gate.wait_for_arrivals(2);
  const Landing& wanted = landings.emplace_back(99 * 4096, 4096);
  tickets.push_back(submit(reader, wanted));
  gate.wait_for_arrivals(3);
  EXPECT_EQ(gate.offsets()[2], 99u * 4096);
  gate.open();
  reader.wait(tickets);
}

TEST_P(AsyncReaderTest, a_prefetch_that_has_not_started_can_be_cancelled) {
  const RandomFile file(100 * 4096);
  Gate gate;
  AsyncReader reader(file.files(), options(gate, 1));
  const Landing first(0, 4096);
  const Landing second(40'960, 4096);
  const Ticket started = submit(reader, first, Priority::prefetch);
  gate.wait_for_arrivals(1);
  const Ticket queued = submit(reader, second, Priority::prefetch);
  EXPECT_FALSE(reader.cancel(started));
  EXPECT_TRUE(reader.cancel(queued));
  EXPECT_FALSE(reader.cancel(queued));
  EXPECT_EQ(queued->state(), ReadState::cancelled);
  gate.open();
  reader.wait(started);
  EXPECT_EQ(error_of([&] { reader.wait(queued); }).kind(), ErrorKind::internal);
  EXPECT_EQ(gate.offsets().size(), 1u);
  EXPECT_EQ(second.data()[0], std::byte{0x55});
  EXPECT_EQ(reader.statistics().cancelled, 1u);
}

TEST_P(AsyncReaderTest, prefetches_that_are_waited_for_count_as_late) {
  const RandomFile file(100 * 4096);
  Gate gate;
  AsyncReader reader(file.files(), options(gate, 8));
  const Landing landing(0, 5'000);
  const Ticket ticket = submit(reader, landing, Priority::prefetch);
  gate.wait_for_arrivals(1);
  std::thread waiter([&] { reader.wait(ticket); });
  while (reader.statistics().late_bytes == 0) std::this_thread::yield();
  gate.open();
  waiter.join();
  EXPECT_EQ(reader.statistics().late_bytes, 5'000u);
  reader.wait(ticket);
  EXPECT_EQ(reader.statistics().late_bytes, 5'000u);
}

TEST_P(AsyncReaderTest, a_reader_may_be_destroyed_while_reads_are_under_way) {
  const RandomFile file(4'000'000);
  std::deque<Landing> landings;
  std::vector<Ticket> tickets;
  {
    ReaderOptions some = options();
    some.piece_bytes = 4096;
    AsyncReader reader(file.files(), some);
    for (uint64_t i = 0; i < 20; ++i) {
      const Landing& landing = landings.emplace_back(i * 100'000, 200'000);
      tickets.push_back(submit(reader, landing));
    }
  }
  for (const Ticket& ticket : tickets) EXPECT_TRUE(ticket->over());
}

TEST_P(AsyncReaderTest, many_threads_may_submit_wait_and_cancel_at_once) {
  const RandomFile file(2'000'000);
  ReaderOptions some = options();
  some.piece_bytes = 16 << 10;
  AsyncReader reader(file.files(), some);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 100; ++i) {
        const Landing wanted(random() % 1'900'000, 1 + random() % 100'000);
        const Landing guess(random() % 1'900'000, 1 + random() % 100'000);
        const Ticket ticket = submit(reader, wanted);
        const Ticket ahead = submit(reader, guess, Priority::prefetch);
        const bool cancelled = i % 2 == 0 && reader.cancel(ahead);
        if (!cancelled) reader.wait(ahead);
        reader.wait(ticket);
        if (!wanted.holds(file.contents())) ++wrong;
        if (!cancelled && !guess.holds(file.contents())) ++wrong;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST_P(AsyncReaderTest, requests_outside_the_file_or_misaligned_are_our_bugs) {
  const RandomFile file(10'000);
  AsyncReader reader(file.files(), options());
  const Landing landing(0, 8'192);
  const auto kind_of = [&](const ReadRequest& request) {
    return error_of([&] { (void)reader.submit(std::vector{request}); }).kind();
  };
  EXPECT_EQ(kind_of({1, 0, 1, landing.data()}), ErrorKind::internal);
  EXPECT_EQ(kind_of({0, 9'999, 2, landing.data()}), ErrorKind::internal);
  EXPECT_EQ(kind_of({0, ~uint64_t{0}, 2, landing.data()}), ErrorKind::internal);
  EXPECT_EQ(kind_of({0, 0, 0, landing.data()}), ErrorKind::internal);
  EXPECT_EQ(kind_of({0, 1, 8, landing.data()}), ErrorKind::internal);
}

TEST_P(AsyncReaderTest, options_out_of_range_are_refused) {
  ReaderOptions bad = options();
  bad.depth = 0;
  EXPECT_EQ(error_of([&] { AsyncReader(std::vector<ModelFile>{}, bad); }).kind(),
            ErrorKind::bad_request);
  bad = options();
  bad.piece_bytes = 5'000;
  EXPECT_EQ(error_of([&] { AsyncReader(std::vector<ModelFile>{}, bad); }).kind(),
            ErrorKind::bad_request);
}

TEST_P(AsyncReaderTest, says_what_it_reads_with) {
  AsyncReader reader(std::vector<ModelFile>{}, options());
  EXPECT_EQ(reader.kind(), GetParam());
  EXPECT_EQ(reader.fallback_reason(), "");
  AsyncReader chosen(std::vector<ModelFile>{});
  EXPECT_EQ(chosen.kind() == ReaderKind::io_uring, chosen.fallback_reason().empty());
}

INSTANTIATE_TEST_SUITE_P(Kinds, AsyncReaderTest, kReaderKinds, reader_name);

}  // namespace
}  // namespace sluice::io
