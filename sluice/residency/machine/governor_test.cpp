#include "sluice/residency/machine/governor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <new>

#include "sluice/base/error.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::residency {
namespace {

constexpr uint64_t kMB = 1'000'000;
const GovernorLimits kLimits{{8000 * kMB}, {1500 * kMB}, {200 * kMB}};

GovernorState at(uint64_t size) {
  GovernorState state;
  state.size = {size};
  return state;
}

PressureReading with_available(uint64_t available) {
  PressureReading reading;
  reading.memory = {{16'000 * kMB}, {available}, {}};
  return reading;
}

/// Polls twice a second; `world` answers for the pool's size and the time. Counts changes.
struct Trial {
  GovernorState state = at(kLimits.planned.count);
  int shrinks = 0;
  int grows = 0;
  double now_s = 0;

  template <typename World>
  void run(double seconds, World world) {
    for (const double end = now_s + seconds; now_s < end;) {
      now_s += 0.5;
      const Bytes before = state.size;
      state = decide(kLimits, state, world(state.size.count, now_s), now_s);
      shrinks += state.size < before ? 1 : 0;
      grows += state.size > before ? 1 : 0;
      ASSERT_LE(state.size, kLimits.planned);
      ASSERT_GE(state.size, kLimits.floor);
    }
  }
};

TEST(Governor, a_calm_machine_changes_nothing) {
  Trial run;
  run.run(600, [](uint64_t, double) { return with_available(1000 * kMB); });
  EXPECT_EQ(run.state.size, kLimits.planned);
  EXPECT_EQ(run.shrinks + run.grows, 0);
  EXPECT_EQ(run.state.reason, "");
}

TEST(Governor, too_little_available_shrinks_at_once_by_an_eighth_or_what_lacks) {
  const auto size = [](uint64_t available) {
    return decide(kLimits, at(8000 * kMB), with_available(available), 0.5).size.count;
  };
  EXPECT_EQ(size(200 * kMB), 8000 * kMB);
  EXPECT_EQ(size(199 * kMB), 7000 * kMB);
  EXPECT_EQ(size(0), 7000 * kMB);
  GovernorLimits wide = kLimits;
  wide.headroom = {3000 * kMB};
  EXPECT_EQ(decide(wide, at(8000 * kMB), with_available(500 * kMB), 0.5).size.count, 5500 * kMB);
}

TEST(Governor, it_never_goes_below_the_floor) {
  Trial run;
  run.run(60, [](uint64_t, double) { return with_available(0); });
  EXPECT_EQ(run.state.size, kLimits.floor);
  EXPECT_EQ(run.shrinks, 7);
}

TEST(Governor, sizes_stay_multiples_of_a_slot) {
  GovernorLimits limits{{10 * 7 * kMB}, {7 * kMB}, {20 * kMB}, {7 * kMB}};
  GovernorState state = decide(limits, at(70 * kMB), with_available(0), 1);
  EXPECT_EQ(state.size.count, (70 - 21) * kMB);  // 20 lack
  state = decide(limits, state, with_available(100 * kMB), 20);
  EXPECT_EQ(state.size.count, (70 - 21 + 14) * kMB);
}

TEST(Governor, tasks_that_wait_for_memory_shrink_it_every_two_seconds) {
  Trial run;
  const auto stalled = [](uint64_t, double) {
    PressureReading reading = with_available(3000 * kMB);
    reading.scope = StallScope::ours;
    reading.some_us = 60'000;  // of 500,000
    return reading;
  };
  run.run(2, stalled);
  EXPECT_EQ(run.shrinks, 1);
  EXPECT_EQ(run.state.reason, "tasks waited for memory 12 % of the time: 8.00 GB to 7.00 GB");
  run.run(4, stalled);
  EXPECT_EQ(run.shrinks, 3);
}

TEST(Governor, the_machines_stalls_count_only_where_memory_is_short) {
  for (const auto& [available, size] :
       {std::pair{8000 * kMB, 8000 * kMB}, {3000 * kMB, 7000 * kMB}}) {
    PressureReading reading = with_available(available);
    reading.scope = StallScope::machine;
    reading.full_us = 1'000'000;
    EXPECT_EQ(decide(kLimits, at(8000 * kMB), reading, 10).size.count, size);
  }
}

TEST(Governor, a_limit_that_only_cached_pages_reach_is_no_pressure) {
  for (const auto& [available, size] :
       {std::pair{500 * kMB, 8000 * kMB}, {300 * kMB, 7000 * kMB}}) {
    PressureReading reading = with_available(available);
    reading.limit_hits = 1000;
    EXPECT_EQ(decide(kLimits, at(8000 * kMB), reading, 10).size.count, size);
  }
}

TEST(Governor, the_systems_warning_shrinks_and_its_alarm_does_not_wait) {
  for (const auto& [level, shrinks] :
       {std::pair{PressureLevel::warning, 2}, {PressureLevel::critical, 7}}) {
    Trial run;
    run.run(4, [level = level](uint64_t, double) {
      PressureReading reading = with_available(3000 * kMB);
      reading.level = level;
      return reading;
    });
    EXPECT_EQ(run.shrinks, shrinks);
  }
}

TEST(Governor, after_ten_calm_seconds_it_grows_back_in_eighths_to_the_plan) {
  Trial run;
  run.run(5, [](uint64_t, double) { return with_available(0); });
  EXPECT_EQ(run.state.size, kLimits.floor);
  const auto calm = [](uint64_t, double) { return with_available(9000 * kMB); };
  run.run(9.5, calm);
  EXPECT_EQ(run.grows, 0);
  run.run(0.5, calm);
  EXPECT_EQ(run.state.size.count, 2500 * kMB);
  EXPECT_EQ(run.state.reason, "calm for 10 s, 9.00 GB available: 1.50 GB to 2.50 GB");
  run.run(60, calm);
  EXPECT_EQ(run.state.size, kLimits.planned);
  EXPECT_EQ(run.grows, 7);
}

TEST(Governor, waiting_that_the_average_still_shows_is_not_calm) {
  Trial run;
  run.state = at(4000 * kMB);
  run.run(100, [](uint64_t, double) {
    PressureReading reading = with_available(9000 * kMB);
    reading.scope = StallScope::ours;
    reading.some_avg10 = 0.02;
    return reading;
  });
  EXPECT_EQ(run.shrinks + run.grows, 0);
}

TEST(Governor, it_settles_where_availability_follows_its_size) {
  // Others take a part; what they and the pool leave is available. For every part, one answer is found.
  for (uint64_t others = 0; others <= 16'000 * kMB; others += 250 * kMB) {
    const auto world = [&](uint64_t size, double) {
      const uint64_t used = others + size;
      return with_available(used < 16'000 * kMB ? 16'000 * kMB - used : 0);
    };
    Trial run;
    run.run(300, world);
    const int first = run.shrinks + run.grows;
    EXPECT_EQ(run.grows, 0) << others;
    run.run(3600, world);
    EXPECT_EQ(run.shrinks + run.grows, first) << others;
    if (run.state.size > kLimits.floor) {
      EXPECT_GE(world(run.state.size.count, 0).memory.available, kLimits.headroom) << others;
    }
  }
}

TEST(Governor, a_size_that_does_not_last_is_tried_ever_more_rarely) {
  // Stalls that no availability foretells begin above some size.
  for (const uint64_t most : {7900 * kMB, 5500 * kMB, 2600 * kMB}) {
    const auto world = [&](uint64_t size, double) {
      PressureReading reading = with_available(9000 * kMB);
      reading.scope = StallScope::ours;
      reading.some_us = size > most ? 400'000 : 0;
      return reading;
    };
    Trial run;
    run.run(3600, world);
    EXPECT_LE(run.grows, 11) << most;
    const int before = run.grows;
    run.run(3600, world);
    EXPECT_LE(run.grows - before, 6) << most;
  }
}

TEST(Governor, it_forgets_what_did_not_last_once_it_has_been_calm_for_long) {
  Trial run;
  run.state.patience_s = 40;
  const auto calm = [](uint64_t, double) { return with_available(9000 * kMB); };
  run.run(639, calm);
  EXPECT_EQ(run.state.patience_s, 40);
  run.run(1, calm);
  EXPECT_EQ(run.state.patience_s, 10);
}

TEST(Governor, the_headroom_suits_a_small_cgroup) {
  EXPECT_EQ(default_headroom({{}, {1000 * kMB}, {2200 * kMB}}).count, 50 * kMB);
  EXPECT_EQ(default_headroom({{}, {64'000 * kMB}, {}}).count, 256 * kMB);
}

// --- the thread

/// Until it is so, 20 s at most.
template <typename Condition>
bool eventually(Condition condition) {
  for (int i = 0; i < 2000 && !condition(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

TEST(Governor, its_thread_resizes_and_counts_what_the_pool_could_do) {
  std::atomic<uint64_t> available{9000 * kMB};
  std::atomic<uint64_t> asked{0};
  const uint64_t in_use = 6500 * kMB;
  const Governor governor(
      kLimits, [&] { return with_available(available); },
      [&](Bytes target) {
        asked = target.count;
        return std::max(target, Bytes{in_use});
      },
      std::chrono::milliseconds(1));
  EXPECT_EQ(governor.report().size, kLimits.planned);
  available = 0;
  ASSERT_TRUE(eventually([&] { return governor.report().size.count == in_use; }));
  ASSERT_TRUE(eventually([&] { return asked == 5500 * kMB; }));
  const GovernorReport report = governor.report();
  EXPECT_EQ(report.shrinks, 2);
  EXPECT_EQ(report.grows, 0);
  EXPECT_EQ(report.reason, "0 B available, 200 MB wanted: 6.50 GB to 5.50 GB");
}

TEST(Governor, its_thread_outlives_a_system_that_does_not_answer) {
  std::atomic<int> broken{2};
  const Governor governor(
      kLimits,
      [&] {
        if (broken == 2) fail(ErrorKind::io, "no meminfo");
        if (broken == 1) throw std::bad_alloc();
        return with_available(0);
      },
      [](Bytes target) { return target; }, std::chrono::milliseconds(1));
  ASSERT_TRUE(eventually([&] { return governor.report().reason == "no meminfo"; }));
  EXPECT_EQ(governor.report().size, kLimits.planned);
  broken = 1;
  ASSERT_TRUE(eventually([&] { return governor.report().reason == std::bad_alloc().what(); }));
  broken = 0;
  EXPECT_TRUE(eventually([&] { return governor.report().size == kLimits.floor; }));
}

TEST(Governor, it_stops_at_once_however_long_its_period) {
  const auto start = std::chrono::steady_clock::now();
  {
    const Governor governor(
        kLimits, [] { return with_available(0); }, [](Bytes target) { return target; },
        std::chrono::hours(1));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(Governor, limits_that_contradict_each_other_are_refused) {
  EXPECT_EQ(io::error_of([] {
              const Governor governor(
                  {{1}, {2}, {0}}, [] { return PressureReading{}; }, [](Bytes b) { return b; });
            }).kind(),
            ErrorKind::internal);
}

}  // namespace
}  // namespace sluice::residency
