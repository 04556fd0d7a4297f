#include "sluice/residency/experts/expert_profile.h"

#include <gtest/gtest.h>

#include <fstream>

#include "sluice/base/error.h"

namespace sluice::residency {
namespace {

std::filesystem::path scratch(const char* name) {
  return std::filesystem::path(testing::TempDir()) / name;
}

TEST(ExpertProfile, GivesTheMostUsedExpertsTheLeastUsedOfThemFirst) {
  ExpertProfile profile(2, 4);
  for (int i = 0; i < 3; ++i) profile.add(1, std::vector{2});
  for (int i = 0; i < 2; ++i) profile.add(0, std::vector{3});
  profile.add(0, std::vector{1});
  using Keys = std::vector<ExpertKey>;
  EXPECT_EQ(profile.most_used(2), (Keys{{0, 3}, {1, 2}}));
  EXPECT_EQ(profile.most_used(9), (Keys{{0, 1}, {0, 3}, {1, 2}})) << "never used ones are left out";
  profile.age();
  for (int i = 0; i < 2; ++i) profile.add(0, std::vector{1});
  EXPECT_EQ(profile.most_used(1), (Keys{{0, 1}})) << "2.5 uses against 1.5 of old";
}

TEST(ExpertProfile, ReadsWhatItSaved) {
  const auto path = scratch("profile.json");
  ExpertProfile profile(2, 3);
  profile.add(0, std::vector{0, 2});
  profile.add(1, std::vector{1});
  profile.add(1, std::vector{1});
  profile.save(path);
  EXPECT_EQ(ExpertProfile::read(path, 2, 3).most_used(9), profile.most_used(9));
}

TEST(ExpertProfile, RefusesOtherModelsAndDamage) {
  const auto path = scratch("damaged.json");
  ExpertProfile(2, 3).save(path);
  EXPECT_THROW(ExpertProfile::read(path, 2, 4), Error);
  EXPECT_THROW(ExpertProfile::read(path, 3, 3), Error);
  for (const char* text :
       {"{}", "[1]", "{", R"({"format":"sluice-expert-profile","version":2,"uses":[[0]]})",
        R"({"format":"sluice-expert-profile","version":1,"uses":[[-1]]})",
        R"({"format":"sluice-expert-profile","version":1,"uses":[["a"]]})",
        R"({"format":"sluice-expert-profile","version":1,"uses":[[1e300]]})",
        R"({"format":"sluice-expert-profile","version":1,"uses":{"a":1}})"}) {
    std::ofstream(path) << text;
    EXPECT_THROW(ExpertProfile::read(path, 1, 1), Error) << text;
  }
}

}  // namespace
}  // namespace sluice::residency
