#include "sluice/engine/worker.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/base/threads.h"

namespace sluice::engine {
namespace {

TEST(Worker, runs_the_jobs_of_many_threads_one_at_a_time_and_each_threads_in_order) {
  constexpr size_t kThreads = 4;
  constexpr int kJobs = 500;
  Worker worker;
  // Touched by jobs alone, and by nothing that would order them.
  int jobs = 0;
  std::vector<int> last(kThreads, -1);
  Threads threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.start("hands out jobs", [&, t] {
      for (int i = 0; i < kJobs; ++i) {
        const int before = worker.run([&, t, i] {
          ++jobs;
          return std::exchange(last[t], i);
        });
        EXPECT_EQ(before, i - 1);
      }
    });
  }
  threads.join();
  EXPECT_EQ(worker.run([&] { return jobs; }), kJobs * static_cast<int>(kThreads));
}

TEST(Worker, what_a_job_throws_reaches_who_waits_for_it_and_nobody_else) {
  Worker worker;
  Threads threads;
  for (const bool fails : {true, false}) {
    threads.start("hands out jobs", [&, fails] {
      for (int i = 0; i < 500; ++i) {
        const auto job = [&] {
          if (fails) fail(ErrorKind::io, "job {}", i);
          return i;
        };
        if (fails) {
          EXPECT_THROW(worker.run(job), Error);
        } else {
          EXPECT_EQ(worker.run(job), i);
        }
      }
    });
  }
}

TEST(Worker, a_job_may_hand_it_another_which_runs_at_once) {
  Worker worker;
  EXPECT_EQ(worker.run([&] { return worker.run([&] { return worker.run([] { return 7; }); }); }),
            7);
}

TEST(Worker, threads_of_workers_that_ended_are_taken_up) {
  std::set<std::thread::id> threads;
  for (int i = 0; i < 20; ++i) {
    Worker worker;
    threads.insert(worker.run([] { return std::this_thread::get_id(); }));
  }
  EXPECT_EQ(threads.size(), 1U);
  Worker one, other;
  EXPECT_NE(one.run([] { return std::this_thread::get_id(); }),
            other.run([] { return std::this_thread::get_id(); }));
}

}  // namespace
}  // namespace sluice::engine
