#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>

#include "sluice/base/cgroup_linux.h"
#include "sluice/base/thread_pool.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

/// A /proc and a /sys of our own.
class Processors : public testing::Test {
 protected:
  Processors() {
    std::string name = (fs::temp_directory_path() / "sluice-base-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~Processors() override { fs::remove_all(root_); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name) << text;
  }
  double quota() const {
    double least = 1e9;
    for (const Cgroup& group : cgroups(root_, "cpu")) {
      least = std::min(least, cpu_quota(group).value_or(least));
    }
    return least;
  }

  fs::path root_;
};

TEST_F(Processors, without_a_quota_all_that_the_affinity_allows_may_be_used) {
  EXPECT_GE(available_processors(root_), 1);
  write("proc/self/cgroup", "0::/slice/unit\n");
  write("sys/fs/cgroup/slice/unit/cpu.max", "max 100000\n");
  EXPECT_EQ(available_processors(root_), available_processors(root_ / "nothing here"));
}

TEST_F(Processors, the_process_own_group_counts_and_so_do_those_above_it) {
  write("proc/self/cgroup", "0::/slice/unit\n");
  write("sys/fs/cgroup/slice/unit/cpu.max", "100000 100000\n");
  EXPECT_EQ(available_processors(root_), 1);
  EXPECT_EQ(quota(), 1);
  write("sys/fs/cgroup/slice/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota(), 0.5);
  EXPECT_EQ(available_processors(root_), 1);
}

TEST_F(Processors, version_one_is_read_also_where_it_is_mounted_with_another_controller) {
  write("proc/self/cgroup", "4:cpu,cpuacct:/docker/x\n0::/\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 1.5);
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "25000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 0.25);
}

TEST_F(Processors, a_damaged_quota_is_none) {
  write("proc/self/cgroup", "0::/\n");
  for (const char* damage : {"", "-1 100000", "100000", "0 100000", "1 0", "x y"}) {
    write("sys/fs/cgroup/cpu.max", damage);
    EXPECT_EQ(quota(), 1e9) << damage;
  }
}

}  // namespace
}  // namespace sluice
