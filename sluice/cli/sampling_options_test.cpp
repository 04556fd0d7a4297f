#include "sluice/cli/sampling_options.h"

#include <gtest/gtest.h>

#include "sluice/base/error.h"

namespace sluice::cli {
namespace {

/// Parses a command line of sampling options. Throws what resolve() throws.
decode::SamplerConfig resolved(const std::string& arguments) {
  CLI::App app;
  SamplingOptions options;
  add_sampling_options(app, options);
  app.parse(arguments);
  return options.resolve();
}

TEST(SamplingOptions, what_only_samples_makes_the_temperature_1) {
  EXPECT_EQ(resolved("").temperature, 0);
  for (const char* one : {"--top-k 5", "--top-p 0.9", "--min-p 0.1", "--seed 3", "--top-k 0",
                          "--xtc-probability 0.5", "--xtc-probability 0.5 --xtc-threshold 0.2"}) {
    EXPECT_EQ(resolved(one).temperature, 1) << one;
    EXPECT_EQ(resolved(std::string("--temp 0.5 ") + one).temperature, 0.5) << one;
  }
  for (const char* greedy : {"--repetition-penalty 1.1", "--logit-bias 3=1", "--temp 0 --seed 5",
                             "--temp 0 --top-k 0 --top-p 1 --min-p 0 --xtc-probability 0"}) {
    EXPECT_EQ(resolved(greedy).temperature, 0) << greedy;
  }
}

TEST(SamplingOptions, what_would_do_nothing_or_is_out_of_range_is_refused_by_its_name) {
  const std::pair<const char*, const char*> cases[] = {
      {"--temp 0 --top-k 5", "--top-k"},
      {"--temp 0 --top-p 0.9", "--top-p"},
      {"--temp 0 --min-p 0.1", "--min-p"},
      {"--temp 0 --xtc-probability 0.5", "--xtc-probability"},
      {"--xtc-threshold 0.2", "--xtc-threshold"},
      {"--temp 1 --xtc-threshold 0.2", "--xtc-threshold"},
      {"--xtc-probability 0 --xtc-threshold 0.2", "--xtc-threshold"},
      {"--penalty-window 10", "--penalty-window"},
      {"--penalty-window 10 --repetition-penalty 1", "--penalty-window"},
      {"--temp nan", "temperature"},
      {"--temp -1", "temperature"},
      {"--top-p inf", "top_p"},
      {"--logit-bias 5=inf", "token 5"},
      {"--logit-bias 5=-inf", "token 5"},
      {"--logit-bias 5=nan", "token 5"},
      {"--logit-bias 5=1e39", "token 5"},
      {"--logit-bias 5=1e400", "--logit-bias"},
      {"--logit-bias 99999999999=1", "--logit-bias"},
      {"--logit-bias -5=1", "--logit-bias"},
      {"--logit-bias 5", "--logit-bias"},
      {"--logit-bias 5=", "--logit-bias"},
      {"--logit-bias =5", "--logit-bias"},
      {"--logit-bias 5=1 --logit-bias 5=2", "twice"}};
  for (const auto& [arguments, named] : cases) {
    try {
      (void)resolved(arguments);
      ADD_FAILURE() << arguments;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::bad_request);
      EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
    }
  }
}

TEST(SamplingOptions, without_a_seed_one_is_made_up) {
  EXPECT_EQ(seed_of(resolved("--seed 18446744073709551615")), UINT64_MAX);
  EXPECT_NE(seed_of(resolved("--temp 1")), seed_of(resolved("--temp 1")));
  EXPECT_EQ(seed_of(resolved("--temp 0 --seed 1")), std::nullopt);
}

}  // namespace
}  // namespace sluice::cli
