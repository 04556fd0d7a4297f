#include "sluice/engine/shares.h"

#include <gtest/gtest.h>

#include "sluice/io/formats/test_files.h"

namespace sluice::engine {
namespace {

using Parts = std::vector<Bytes>;

TEST(Shares, who_needs_less_leaves_more_for_the_others) {
  const std::vector<ModelNeed> models{{{10}, {100}}, {{50}, {1000}}, {{50}, {2000}}};
  EXPECT_EQ(divide_ram({5000}, models, 3), (Parts{{100}, {1000}, {2000}}));
  EXPECT_EQ(divide_ram({1700}, models, 3), (Parts{{100}, {800}, {800}}));
  EXPECT_EQ(divide_ram({240}, models, 3), (Parts{{80}, {80}, {80}}));
}

TEST(Shares, any_models_that_are_loaded_together_fit) {
  const std::vector<ModelNeed> models{{{10}, {100}}, {{50}, {1000}}, {{50}, {2000}}};
  EXPECT_EQ(divide_ram({1700}, models, 2), (Parts{{100}, {850}, {850}}));
  EXPECT_EQ(divide_ram({1700}, models, 1), (Parts{{100}, {1000}, {1700}}));
  EXPECT_EQ(divide_ram({1700}, models, 7), divide_ram({1700}, models, 3));
}

TEST(Shares, a_part_that_is_too_small_is_refused_with_what_would_do) {
  const std::vector<ModelNeed> models{{{10}, {100}}, {{500}, {1000}}};
  const Error error = io::error_of([&] { (void)divide_ram({400}, models, 2); });
  EXPECT_EQ(error.kind(), ErrorKind::over_budget);
  EXPECT_EQ(divide_ram({600}, models, 2), (Parts{{100}, {500}})) << "the sum it names";
  EXPECT_EQ(divide_ram({500}, models, 1), (Parts{{100}, {500}}));
}

}  // namespace
}  // namespace sluice::engine
