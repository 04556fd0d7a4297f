#include "sluice/residency/machine/memory.h"

#include <gtest/gtest.h>

#include "sluice/base/error.h"
#include "sluice/io/formats/test_files.h"
#include "sluice/residency/machine/machine_test_files.h"

namespace sluice::residency {
namespace {

TEST(Memory, this_machine_says_what_it_has) {
  const MemoryState state = memory_state();
  EXPECT_GT(state.installed.count, 100'000'000u);
  EXPECT_LE(state.available, state.installed);
  EXPECT_GT(state.own.count, 0u);
  EXPECT_LT(state.own, state.resident);
  EXPECT_LT(automatic_budget(state), state.installed);
}

TEST(Memory, the_peak_is_at_least_what_is_held_now) {
  const uint64_t resident = memory_state().resident.count;
  EXPECT_GE(peak_resident().count + 1'000'000, resident);  // the kernel counts per processor
}

TEST(Memory, the_automatic_budget_leaves_a_tenth_or_half_a_gigabyte) {
  const auto budget = [](uint64_t available, uint64_t resident) {
    return automatic_budget({{32'000'000'000}, {available}, {resident}, {}}).count;
  };
  EXPECT_EQ(budget(20'000'000'000, 0), 18'000'000'000u);
  EXPECT_EQ(budget(19'000'000'000, 1'000'000'000), 18'000'000'000u);
  EXPECT_EQ(budget(2'000'000'000, 0), 1'500'000'000u);
  EXPECT_EQ(budget(600'000'000, 0), 300'000'000u);
  EXPECT_EQ(budget(0, 0), 0u);
}

#ifdef __linux__
TEST(Memory, without_cgroups_it_is_what_is_available) {
  const FakeMachine machine;
  EXPECT_EQ(memory_state(machine.root()).installed.count, 16'000'000ull * 1024);
  EXPECT_EQ(memory_state(machine.root()).available.count, 8'000'000ull * 1024);
  EXPECT_EQ(memory_state(machine.root()).resident.count, 1'000u * 1024);
}

TEST(Memory, pages_of_files_are_told_apart_where_the_system_does) {
  const FakeMachine machine;
  EXPECT_EQ(memory_state(machine.root()).own.count, 1'000u * 1024);
  machine.write("proc/self/status", "VmRSS:\t 1000 kB\nRssAnon:\t 300 kB\n");
  EXPECT_EQ(memory_state(machine.root()).own.count, 300u * 1024);
  machine.write("proc/self/smaps_rollup", "Rss: 1000 kB\nAnonymous: 310 kB\n");
  EXPECT_EQ(memory_state(machine.root()).own.count, 310u * 1024);
}

TEST(Memory, the_peak_is_this_programs_own) {
  const FakeMachine machine;
  EXPECT_EQ(peak_resident(machine.root()).count, 2'000u * 1024);
  machine.write("proc/self/status", "Name: x\n");
  EXPECT_EQ(peak_resident(machine.root()).count, 0u);
}

TEST(Memory, the_tightest_of_nested_cgroups_counts_and_file_pages_can_go) {
  FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/slice/unit\n");
  machine.write("sys/fs/cgroup/slice/unit/memory.max", "max\n");
  machine.write("sys/fs/cgroup/slice/unit/memory.current", "5000\n");
  machine.write("sys/fs/cgroup/slice/memory.max", "3000000000\n");
  machine.write("sys/fs/cgroup/slice/memory.current", "1000000000\n");
  machine.write("sys/fs/cgroup/slice/memory.stat", "anon 5\ninactive_file 400000000\n");
  EXPECT_EQ(memory_state(machine.root()).available.count, 2'400'000'000u);
}

TEST(Memory, where_a_group_is_made_to_wait_counts_as_its_limit) {
  FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/unit\n");
  machine.write("sys/fs/cgroup/unit/memory.current", "1000000000\n");
  machine.write("sys/fs/cgroup/unit/memory.max", "max\n");
  machine.write("sys/fs/cgroup/unit/memory.high", "3000000000\n");
  EXPECT_EQ(memory_state(machine.root()).available.count, 2'000'000'000u);
  machine.write("sys/fs/cgroup/unit/memory.max", "1500000000\n");
  EXPECT_EQ(memory_state(machine.root()).available.count, 500'000'000u);
  machine.write("sys/fs/cgroup/unit/memory.high", "max\n");
  EXPECT_EQ(memory_state(machine.root()).available.count, 500'000'000u);
}

TEST(Memory, version_one_is_read_too_where_a_container_hides_the_path) {
  FakeMachine machine;
  machine.write("proc/self/cgroup", "9:cpu:/\n4:memory:/hidden/path\n0::/\n");
  machine.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "700000000\n");
  machine.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "200000000\n");
  machine.write("sys/fs/cgroup/memory/memory.stat",
                "inactive_file 1\ntotal_inactive_file 50000000\n");
  EXPECT_EQ(memory_state(machine.root()).available.count, 550'000'000u);
}

TEST(Memory, a_cgroup_over_its_limit_leaves_nothing) {
  FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/\n");
  machine.write("sys/fs/cgroup/memory.max", "1000\n");
  machine.write("sys/fs/cgroup/memory.current", "2000\n");
  EXPECT_EQ(memory_state(machine.root()).available.count, 0u);
}

TEST(Memory, a_damaged_number_is_no_limit) {
  FakeMachine machine;
  machine.write("proc/self/cgroup", "0::/\nnonsense\n:\n");
  for (const char* damage : {"", "-1\n", "12x\n", "99999999999999999999999\n"}) {
    machine.write("sys/fs/cgroup/memory.max", damage);
    machine.write("sys/fs/cgroup/memory.current", "2000\n");
    EXPECT_EQ(memory_state(machine.root()).available.count, 8'000'000ull * 1024) << damage;
  }
}

TEST(Memory, a_system_that_does_not_say_is_an_error) {
  const io::TestDirectory empty;
  EXPECT_EQ(io::error_of([&] { (void)memory_state(empty.path()); }).kind(), ErrorKind::io);
}
#endif

}  // namespace
}  // namespace sluice::residency
