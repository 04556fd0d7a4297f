#include "sluice/base/thread_pool.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <new>
#include <numeric>
#include <stdexcept>

#include "sluice/base/error.h"
#include "sluice/base/sanitized.h"

namespace sluice {
namespace {

TEST(ThreadPool, every_index_is_visited_exactly_once) {
  for (const int n_threads : {1, 2, 5}) {
    ThreadPool pool(n_threads);
    for (const int64_t n : {0, 1, 7, 1000}) {
      for (int round = 0; round < 200; ++round) {
        std::vector<int> visits(static_cast<size_t>(n), 0);
        pool.parallel_for(n, 3, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        ASSERT_EQ(std::accumulate(visits.begin(), visits.end(), int64_t{0}), n);
        for (const int v : visits) ASSERT_EQ(v, 1);
      }
    }
  }
}

TEST(ThreadPool, a_sleeping_pool_wakes_up) {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    std::atomic<int> sum{0};
    pool.parallel_for(64, 1, [&](int64_t begin, int64_t) { sum += static_cast<int>(begin); });
    EXPECT_EQ(sum, 63 * 64 / 2);
  }
}

TEST(ThreadPool, what_a_body_throws_in_any_thread_reaches_the_caller) {
  for (const int n_threads : {1, 2, 5}) {
    ThreadPool pool(n_threads);
    for (int64_t bad = 0; bad < 64; ++bad) {
      const auto body = [&](int64_t begin, int64_t end) {
        if (begin <= bad && bad < end) throw std::bad_alloc();
      };
      EXPECT_THROW(pool.parallel_for(64, 1, body), std::bad_alloc);
      std::atomic<int> visits{0};
      pool.parallel_for(64, 1, [&](int64_t, int64_t) { ++visits; });
      EXPECT_EQ(n_threads == 1 ? 64 : visits.load(), 64) << "the pool goes on";
    }
  }
}

TEST(ThreadPool, when_every_thread_throws_one_error_is_thrown_and_the_rest_is_left_out) {
  ThreadPool pool(4);
  std::atomic<int> begun{0};
  const auto body = [&](int64_t begin, int64_t) {
    ++begun;
    fail(ErrorKind::io, "range {}", begin);
  };
  for (int round = 0; round < 100; ++round) {
    begun = 0;
    EXPECT_THROW(pool.parallel_for(10'000, 1, body), Error);
    EXPECT_LE(begun, pool.size());
  }
}

#if defined(__linux__)
/// From now on this process gets so much more address space; a thread's stack takes 8 MiB of it.
void limit_address_space(uint64_t more) {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const rlim_t most = pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)) + more;
  const rlimit limit{most, most};
  ::setrlimit(RLIMIT_AS, &limit);
}

TEST(ThreadPoolDeathTest, a_thread_that_cannot_be_made_is_an_error_also_after_some_were) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer needs more address space than it gets here";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        limit_address_space(100 << 20);
        try {
          const ThreadPool pool(1024);
        } catch (const Error& error) {
          std::fputs(error.what(), stderr);
          ::_exit(error.kind() == ErrorKind::io ? 42 : 1);
        }
        ::_exit(2);
      },
      testing::ExitedWithCode(42), "a thread that computes cannot be made: .*fewer threads");
}
#endif

}  // namespace
}  // namespace sluice
