#include <gtest/gtest.h>

#include "sluice/base/error.h"
#include "sluice/residency/machine/machine_test_files.h"
#include "sluice/residency/machine/pressure.h"

namespace sluice::residency {
namespace {

/// A pressure file; percent and microseconds.
std::string stalls(const std::string& some_avg10, int64_t some_us, int64_t full_us) {
  return "some avg10=" + some_avg10 + " avg60=0.00 avg300=0.00 total=" + std::to_string(some_us) +
         "\nfull avg10=1.50 avg60=0.00 avg300=0.00 total=" + std::to_string(full_us) + "\n";
}

TEST(Pressure, this_machine_can_be_asked) {
  PressureSource source;
  const PressureReading reading = source.read();
  EXPECT_GT(reading.memory.available.count, 0u);
  EXPECT_GE(reading.some_us, 0);
  EXPECT_LE(reading.some_avg10, 1);
}

TEST(Pressure, without_files_there_is_only_the_memory_state) {
  const FakeMachine machine;
  const PressureReading reading = PressureSource(machine.root()).read();
  EXPECT_EQ(reading.memory.available.count, 8'000'000ull * 1024);
  EXPECT_EQ(reading.scope, StallScope::none);
  EXPECT_EQ(reading.some_us, 0);
  EXPECT_EQ(reading.limit_hits, 0);
  EXPECT_EQ(reading.level, PressureLevel::normal);
}

TEST(Pressure, stalls_are_those_since_the_last_poll) {
  const FakeMachine machine;
  machine.write("proc/pressure/memory", stalls("0.00", 5'000'000, 1'000));
  PressureSource source(machine.root());
  machine.write("proc/pressure/memory", stalls("12.50", 5'070'000, 3'000));
  PressureReading reading = source.read();
  EXPECT_EQ(reading.scope, StallScope::machine);
  EXPECT_DOUBLE_EQ(reading.some_avg10, 0.125);
  EXPECT_DOUBLE_EQ(reading.full_avg10, 0.015);
  EXPECT_EQ(reading.some_us, 70'000);
  EXPECT_EQ(reading.full_us, 2'000);
  reading = source.read();
  EXPECT_EQ(reading.some_us, 0);
}

TEST(Pressure, the_own_group_is_asked_before_the_machine) {
  const FakeMachine machine;
  machine.write("proc/pressure/memory", stalls("50.00", 1, 1));
  machine.write("proc/self/cgroup", "4:memory:/x\n0::/slice/unit\n");
  machine.write("sys/fs/cgroup/unified/slice/unit/cgroup.type", "domain\n");
  machine.write("sys/fs/cgroup/unified/slice/unit/memory.pressure", stalls("2.00", 7, 0));
  PressureReading reading = PressureSource(machine.root()).read();
  EXPECT_EQ(reading.scope, StallScope::ours);
  EXPECT_DOUBLE_EQ(reading.some_avg10, 0.02);

  // The top group without a type is the machine itself.
  machine.write("proc/self/cgroup", "0::/\n");
  machine.write("sys/fs/cgroup/memory.pressure", stalls("3.00", 7, 0));
  reading = PressureSource(machine.root()).read();
  EXPECT_EQ(reading.scope, StallScope::machine);
  EXPECT_DOUBLE_EQ(reading.some_avg10, 0.03);
}

TEST(Pressure, reached_limits_are_counted_in_both_versions_of_cgroups) {
  const FakeMachine machine;
  machine.write("proc/self/cgroup", "4:memory:/unit\n0::/unit\n");
  machine.write("sys/fs/cgroup/memory/unit/memory.failcnt", "100\n");
  machine.write("sys/fs/cgroup/unit/memory.events", "low 0\nhigh 5\nmax 7\noom 0\n");
  PressureSource source(machine.root());
  EXPECT_EQ(source.read().limit_hits, 0);
  machine.write("sys/fs/cgroup/memory/unit/memory.failcnt", "103\n");
  EXPECT_EQ(source.read().limit_hits, 3);
  machine.write("sys/fs/cgroup/unit/memory.events", "low 0\nhigh 6\nmax 9\noom 0\n");
  EXPECT_EQ(source.read().limit_hits, 3);
  EXPECT_EQ(source.read().limit_hits, 0);
}

TEST(Pressure, damaged_files_are_as_if_absent) {
  const FakeMachine machine;
  machine.write("proc/self/cgroup", "4:memory:/unit\n0::/unit\n\n:::\n");
  for (const char* damage :
       {"", "\n\n", "some", "some avg10=x total=1", "some avg10=nan total=1",
        "some avg10=1.0 total=-5", "some avg10=1.0", "some avg10=101 total=1",
        "some avg10=-1 total=1", "some avg10=1.0 total=99999999999999999999999",
        "full avg10=1.0 total=1", "\xff\xfe\x01", "some avg10=1.0junk total=4"}) {
    machine.write("proc/pressure/memory", damage);
    machine.write("sys/fs/cgroup/unit/memory.pressure", damage);
    machine.write("sys/fs/cgroup/memory/unit/memory.failcnt", damage);
    machine.write("sys/fs/cgroup/unit/memory.events", std::string("high ") + damage);
    PressureSource source(machine.root());
    const PressureReading reading = source.read();
    EXPECT_EQ(reading.scope, StallScope::none) << damage;
    EXPECT_EQ(reading.some_us, 0) << damage;
    EXPECT_EQ(reading.limit_hits, 0) << damage;
  }
}

TEST(Pressure, a_counter_that_goes_back_has_not_risen) {
  const FakeMachine machine;
  machine.write("proc/pressure/memory", stalls("0.00", 5'000'000, 9));
  machine.write("proc/self/cgroup", "4:memory:/\n");
  machine.write("sys/fs/cgroup/memory/memory.failcnt", "9\n");
  PressureSource source(machine.root());
  machine.write("proc/pressure/memory", stalls("0.00", 1, 1));
  machine.write("sys/fs/cgroup/memory/memory.failcnt", "1\n");
  const PressureReading reading = source.read();
  EXPECT_EQ(reading.some_us, 0);
  EXPECT_EQ(reading.full_us, 0);
  EXPECT_EQ(reading.limit_hits, 0);
}

TEST(Pressure, a_system_that_does_not_say_what_is_available_is_an_error) {
  const io::TestDirectory empty;
  PressureSource source(empty.path());
  EXPECT_EQ(io::error_of([&] { (void)source.read(); }).kind(), ErrorKind::io);
}

}  // namespace
}  // namespace sluice::residency
