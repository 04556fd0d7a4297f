#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "sluice/base/error.h"
#include "sluice/kernels/kernels.h"

namespace sluice::kernels {
namespace {

/// Whether this build and machine have the set.
bool available(std::string_view isa) {
  const KernelTables all = all_kernels();
  for (const auto* table = all.begin; table != all.end; ++table) {
    if ((*table)->isa == isa) return (*table)->supported();
  }
  return false;
}

TEST(Isa, the_force_took) {
  if (const char* forced = std::getenv("SLUICE_ISA")) {
    EXPECT_EQ(kernels().isa, forced);
  } else {
    EXPECT_TRUE(available(kernels().isa));
  }
}

TEST(Isa, without_a_force_the_first_supported_set_is_chosen) {
  if (std::getenv("SLUICE_ISA")) GTEST_SKIP() << "SLUICE_ISA is set";
  const KernelTables all = all_kernels();
  const auto* table = all.begin;
  while (!(*table)->supported()) ++table;
  EXPECT_EQ(&kernels(), *table);
}

TEST(IsaDeathTest, an_unknown_set_is_a_bad_request_that_names_the_available_ones) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process in which nothing was chosen yet
  EXPECT_EXIT(
      {
        setenv("SLUICE_ISA", "mmx", 1);
        try {
          kernels();
        } catch (const Error& error) {
          std::fprintf(stderr, "%s\n", error.what());
          std::exit(error.kind() == ErrorKind::bad_request ? 0 : 1);
        }
        std::exit(2);
      },
      testing::ExitedWithCode(0), "SLUICE_ISA=mmx.*available.*portable");
}

}  // namespace
}  // namespace sluice::kernels

/// A set that this machine lacks is reported to CTest as skipped, not as passed.
int main(int argc, char** argv) {
  constexpr int skipped = 77;
  testing::InitGoogleTest(&argc, argv);
  const char* forced = std::getenv("SLUICE_ISA");
  const bool death_child = !testing::GTEST_FLAG(internal_run_death_test).empty();
  if (forced && !death_child && !sluice::kernels::available(forced)) {
    std::printf("this machine or build has no %s\n", forced);
    return skipped;
  }
  return RUN_ALL_TESTS();
}
