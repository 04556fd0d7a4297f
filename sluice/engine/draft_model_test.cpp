#include "sluice/engine/draft_model.h"

#include <gtest/gtest.h>

#include <fstream>

#include "sluice/decode/test_hybrid.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"
#include "sluice/residency/machine/memory.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<text::Token>;

EngineOptions guessing(Speculation speculation, std::shared_ptr<Engine> draft = nullptr) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 1024;
  options.chunk = 64;
  options.speculation = speculation;
  options.draft_model = std::move(draft);
  return options;
}

Result answer_to(Engine& engine, const Tokens& tokens, double temperature, std::string salt = {}) {
  Request request;
  request.tokens = tokens;
  request.max_tokens = 60;
  request.ignore_eos = true;
  request.sampling = {.temperature = temperature, .seed = 3};
  request.cache_salt = std::move(salt);
  const auto recorder = std::make_shared<Recorder>();
  const auto generation = begin_generation(engine, request, recorder);
  return recorder->wait();
}

/// Tokens that no match is found in.
Tokens varied_tokens(int n, int vocab) {
  Tokens tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((i * 37 + i * i * 3) % vocab);
  return tokens;
}

/// Another model with tiny-moe's vocabulary, with layers that carry states.
std::filesystem::path write_other(const io::TestDirectory& directory) {
  decode::write_hybrid(directory);
  std::filesystem::copy_file(kTinyMoe / "tokenizer.json", directory.path() / "tokenizer.json");
  return directory.path();
}

TEST(DraftModel, that_is_the_model_itself_is_right_each_time) {
  const auto plain = Engine::open(kTinyMoe, guessing(Speculation::off));
  const auto engine = Engine::open(
      kTinyMoe, guessing(Speculation::always, Engine::open(kTinyMoe, guessing(Speculation::off))));
  for (const int n_prompt : {5, 250, 500}) {
    const Tokens tokens = varied_tokens(n_prompt, 4000);
    const Result result = answer_to(*engine, tokens, 0);
    EXPECT_EQ(result.tokens, answer_to(*plain, tokens, 0).tokens) << n_prompt;
    EXPECT_GT(result.drafted.accepted, 20) << n_prompt;
    EXPECT_EQ(answer_to(*engine, tokens, 1).tokens, answer_to(*plain, tokens, 1).tokens)
        << n_prompt;
  }
}

TEST(DraftModel, that_knows_nothing_changes_no_token) {
  const io::TestDirectory directory;
  const auto other = write_other(directory);
  const auto plain = Engine::open(kTinyMoe, guessing(Speculation::off));
  const auto engine = Engine::open(
      kTinyMoe, guessing(Speculation::always, Engine::open(other, guessing(Speculation::off))));
  for (const int n_prompt : {5, 230}) {
    const Tokens tokens = varied_tokens(n_prompt, 50);
    for (const double temperature : {0.0, 1.0})
      EXPECT_EQ(answer_to(*engine, tokens, temperature).tokens,
                answer_to(*plain, tokens, temperature).tokens)
          << n_prompt;
  }
}

/// Its guesses are what it would say, whether those before were right or not, and what it held of a conversation is found again
/// by the next request: here with layers that carry states.
TEST(DraftModel, says_what_it_would_say_without_what_came_before) {
  const io::TestDirectory directory;
  const std::shared_ptr<Engine> other =
      Engine::open(write_other(directory), guessing(Speculation::off));
  const auto plain = Engine::open(directory.path(), guessing(Speculation::off));
  DraftModel model(other, plain->tokenizer());
  Tokens timeline = varied_tokens(200, 53);
  for (int turn = 0; turn < 3; ++turn) {
    const auto drafter = model.guesses("conversation");
    for (int i = 0; i < 30; ++i) {
      const decode::Draft draft = drafter->draft(timeline, 1 + i % 8);
      ASSERT_FALSE(draft.tokens.empty());
      Tokens said;
      plain->greedy(timeline, std::ssize(draft.tokens), [&](text::Token t) { said.push_back(t); });
      EXPECT_EQ(draft.tokens, said) << turn << ' ' << i;
      const size_t right = static_cast<size_t>(i * 5) % (draft.tokens.size() + 1);
      timeline.insert(timeline.end(), said.begin(), said.begin() + static_cast<int64_t>(right));
      timeline.push_back((i * 7 + turn) % 53);
    }
  }
}

TEST(DraftModel, serves_several_sequences_at_once) {
  const auto plain = Engine::open(kTinyMoe, guessing(Speculation::off));
  const auto engine = Engine::open(
      kTinyMoe, guessing(Speculation::always, Engine::open(kTinyMoe, guessing(Speculation::off))));
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<Generation>> generations;
  std::vector<Tokens> prompts;
  for (int i = 0; i < 8; ++i) {
    prompts.push_back(prompt(10 + 31 * i, 100 + i));
    Request request;
    request.tokens = prompts.back();
    request.max_tokens = 60;
    request.ignore_eos = true;
    request.sampling = {.temperature = 0, .seed = 3};
    recorders.push_back(std::make_shared<Recorder>());
    generations.push_back(begin_generation(*engine, request, recorders.back()));
  }
  for (size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(recorders[i]->wait().tokens, answer_to(*plain, prompts[i], 0).tokens) << i;
}

/// Its blocks are few, and its context is short: it has nothing to say then.
TEST(DraftModel, that_has_no_memory_left_changes_no_token) {
  const auto plain = Engine::open(kTinyMoe, guessing(Speculation::off));
  EngineOptions small = guessing(Speculation::off);
  small.context = 300;
  const auto engine =
      Engine::open(kTinyMoe, guessing(Speculation::always, Engine::open(kTinyMoe, small)));
  for (const int n_prompt : {5, 270, 400}) {
    const Tokens tokens = varied_tokens(n_prompt, 4000);
    EXPECT_EQ(answer_to(*engine, tokens, 0).tokens, answer_to(*plain, tokens, 0).tokens)
        << n_prompt;
  }
}

TEST(DraftModel, shares_a_budget_with_the_model) {
  EngineOptions options = guessing(Speculation::always);
  options.context = 512;
  const Bytes process = residency::peak_resident();  // opening models may take as much again
  options.ram = process + Bytes{300 << 20};
  const auto engine = open_with_draft(kTinyMoe, kTinyMoe, options);
  EXPECT_LT(engine->options().ram->count, options.ram->count);
  const auto plain = Engine::open(kTinyMoe, guessing(Speculation::off));
  const Tokens tokens = varied_tokens(40, 4000);
  const Result result = answer_to(*engine, tokens, 0);
  EXPECT_EQ(result.tokens, answer_to(*plain, tokens, 0).tokens);
  EXPECT_GT(result.drafted.accepted, 20);
  options.ram = Bytes{1 << 20};
  EXPECT_EQ(io::error_of([&] { (void)open_with_draft(kTinyMoe, kTinyMoe, options); }).kind(),
            ErrorKind::over_budget);
}

TEST(DraftModel, must_have_the_same_vocabulary) {
  const io::TestDirectory directory;
  decode::write_hybrid(directory);
  std::ifstream in(kTinyMoe / "tokenizer.json");
  std::string json{std::istreambuf_iterator<char>(in), {}};
  const std::string first = "\"!\":", second = "\"#\":";
  ASSERT_NE(json.find(first), std::string::npos);
  ASSERT_NE(json.find(second), std::string::npos);
  json[json.find(first) + 1] = '#';
  json[json.rfind(second) + 1] = '!';
  directory.write("tokenizer.json", json);
  const std::shared_ptr<Engine> other = Engine::open(directory.path(), guessing(Speculation::off));
  const Error error =
      io::error_of([&] { (void)Engine::open(kTinyMoe, guessing(Speculation::always, other)); });
  EXPECT_EQ(error.kind(), ErrorKind::bad_request);
  EXPECT_NE(std::string(error.what()).find("--draft-model"), std::string::npos);
}

}  // namespace
}  // namespace sluice::engine
