#include "sluice/models/pooling.h"

#include <gtest/gtest.h>

#include "sluice/base/error.h"
#include "sluice/io/formats/test_files.h"

namespace sluice::models {
namespace {

TEST(Pooling, a_checkpoint_says_it_in_either_form_and_the_mean_is_the_default) {
  const io::TestDirectory directory;
  EXPECT_EQ(pooling_of_directory(directory.path()), Pooling::mean);
  std::filesystem::create_directory(directory.path() / "1_Pooling");
  const auto says = [&](const std::string& config) {
    directory.write("1_Pooling/config.json", config);
    return pooling_of_directory(directory.path());
  };
  EXPECT_EQ(says(R"({"pooling_mode_mean_tokens": false, "pooling_mode_lasttoken": true})"),
            Pooling::last);
  EXPECT_EQ(says(R"({"pooling_mode": "lasttoken"})"), Pooling::last);
  EXPECT_EQ(says(R"({"pooling_mode": "cls"})"), std::nullopt);
  EXPECT_EQ(says(R"({"pooling_mode_mean_tokens": true})"), Pooling::mean);
  EXPECT_EQ(says(R"({"pooling_mode_mean_tokens": true, "pooling_mode_max_tokens": true})"),
            std::nullopt)
      << "two side by side";
  EXPECT_EQ(says(R"({"pooling_mode": "weightedmean"})"), std::nullopt);
  EXPECT_EQ(says(R"({"pooling_mode": ["mean"]})"), std::nullopt);
  EXPECT_EQ(says("{}"), std::nullopt);
  EXPECT_THROW(says("[1"), Error);
}

TEST(Pooling, what_follows_it_must_be_a_norm) {
  const io::TestDirectory directory;
  const auto with = [&](const std::string& modules) {
    directory.write("modules.json", modules);
    return pooling_of_directory(directory.path());
  };
  EXPECT_EQ(with(R"([{"type": "sentence_transformers.models.Transformer"},
                     {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
                     {"type": "sentence_transformers.models.Normalize"}])"),
            std::nullopt)
      << "its file is not there";
  directory.write("1_Pooling.json", R"({"pooling_mode": "mean"})");
  EXPECT_EQ(with(R"([{"type": "sentence_transformers.models.Pooling"}])"), Pooling::mean);
  EXPECT_EQ(with(R"([{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}])"),
            std::nullopt);
  EXPECT_EQ(with("[7]"), std::nullopt);
  EXPECT_THROW(with("[}"), Error);
}

}  // namespace
}  // namespace sluice::models
