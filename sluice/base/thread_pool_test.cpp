#include "sluice/base/thread_pool.h"

#include <gtest/gtest.h>

#include <numeric>

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

}  // namespace
}  // namespace sluice
