// The model's own layer that drafts tokens: an answer is the one that plain decoding gives, whatever the layer says.
#include "sluice/engine/draft_layer.h"

#include <gtest/gtest.h>

#include <array>

#include "sluice/decode/sampler.h"
#include "sluice/decode/test_hybrid.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using decode::operator+;
using Tokens = std::vector<text::Token>;

EngineOptions with(Speculation speculation, Guessers guessers = Guessers::layer) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 1024;
  options.chunk = 64;
  options.speculation = speculation;
  options.guessers = guessers;
  return options;
}

Tokens varied_tokens(int n, int first = 0) {
  Tokens tokens;
  for (int i = 0; i < n; ++i) tokens.push_back((first + i * 37 + i * i * 3) % decode::kHybridVocab);
  return tokens;
}

struct Answer {
  Result result;
  std::vector<float> logprobs;
};

Request request_of(Tokens tokens, double temperature, std::string salt) {
  Request request;
  request.tokens = std::move(tokens);
  request.max_tokens = 60;
  request.ignore_eos = true;
  request.sampling = {.temperature = temperature, .seed = 3};
  request.cache_salt = std::move(salt);
  request.top_logprobs = 1;
  return request;
}

Answer answer(Engine& engine, const Tokens& tokens, double temperature, std::string salt = {}) {
  Answer answer;
  const auto recorder = std::make_shared<Recorder>();
  recorder->on_logprob = [&](float logprob) { answer.logprobs.push_back(logprob); };
  const auto generation =
      begin_generation(engine, request_of(tokens, temperature, std::move(salt)), recorder);
  answer.result = recorder->wait();
  return answer;
}

/// With a tokenizer, which engines that generate want.
class Files {
 public:
  explicit Files(const decode::HybridModel& model, const decode::ValueOf& value_of = {}) {
    decode::write_hybrid(directory_, model, value_of);
    std::filesystem::copy_file(kTinyMoe / "tokenizer.json", directory_.path() / "tokenizer.json");
  }
  const std::filesystem::path& path() const { return directory_.path(); }

 private:
  io::TestDirectory directory_;
};

decode::HybridModel drafting_gated_delta() {
  decode::HybridModel model = decode::gated_delta_model();
  model.name = "gated_delta with mtp";
  model.tensors = model.tensors + decode::gated_delta_mtp();
  return model;
}

constexpr std::array kKinds{"states", "attention", "states_of_16_bits"};

/// What follows a token depends on that token alone, in the model and in its drafting layer.
Files files_that_are_right() {
  decode::HybridModel model = drafting_gated_delta();
  model.config.replace(model.config.find("\"tie_word_embeddings\": true"), 27,
                       "\"tie_word_embeddings\": false");
  model.tensors["lm_head.weight"] = {decode::kHybridVocab, 32};
  return Files(model, [](const std::string& name, int64_t i) -> std::optional<float> {
    for (const char* end : {"o_proj.weight", "out_proj.weight", "down_proj.weight"}) {
      if (name.ends_with(end)) return 0;
    }
    if (name.starts_with("mtp.") && name.ends_with("fc.weight")) return i / 64 == i % 64 ? 1 : 0;
    if (name == "model.norm.weight" || name == "mtp.norm.weight" ||
        name == "mtp.pre_fc_norm_embedding.weight")
      return 1;
    return std::nullopt;
  });
}

class DraftingLayer : public testing::TestWithParam<decode::HybridModel> {
 protected:
  static EngineOptions with(Speculation speculation, Guessers guessers = Guessers::layer) {
    EngineOptions options = engine::with(speculation, guessers);
    options.load = GetParam().options;
    return options;
  }
};

TEST_P(DraftingLayer, that_knows_nothing_changes_no_token_nor_its_logprob) {
  const Files files(GetParam());
  const auto plain = Engine::open(files.path(), with(Speculation::off));
  const auto engine = Engine::open(files.path(), with(Speculation::always));
  EXPECT_EQ(engine->left_out(), "");
  EXPECT_EQ(plain->left_out(), "left out: layers that draft tokens");
  for (const int n_prompt : {1, 5, 230, 300}) {
    for (const double temperature : {0.0, 1.0}) {
      const Answer wanted = answer(*plain, varied_tokens(n_prompt), temperature);
      for (const char* salt : {"first", "found again"}) {
        const Answer got = answer(*engine, varied_tokens(n_prompt), temperature, salt);
        EXPECT_EQ(got.result.tokens, wanted.result.tokens) << n_prompt << ' ' << temperature;
        EXPECT_EQ(got.logprobs, wanted.logprobs) << n_prompt << ' ' << temperature;
        EXPECT_GT(got.result.drafted.tokens, 20);
        EXPECT_EQ(got.result.drafted.off_because, "");
      }
    }
  }
}

TEST_P(DraftingLayer, changes_no_token_of_a_batch) {
  const Files files(GetParam());
  const auto plain = Engine::open(files.path(), with(Speculation::off));
  for (const auto guessers : {Guessers::layer, Guessers::all}) {
    const auto engine = Engine::open(files.path(), with(Speculation::always, guessers));
    std::vector<std::shared_ptr<Recorder>> recorders;
    std::vector<std::unique_ptr<Generation>> generations;
    const auto of = [](int i) { return varied_tokens(10 + 31 * i, i); };
    for (int i = 0; i < 8; ++i) {
      recorders.push_back(std::make_shared<Recorder>());
      generations.push_back(begin_generation(*engine, request_of(of(i), 0, {}), recorders.back()));
    }
    for (int i = 0; i < 8; ++i) {
      EXPECT_EQ(recorders[static_cast<size_t>(i)]->wait().tokens,
                answer(*plain, of(i), 0).result.tokens)
          << i;
    }
  }
}

/// Blocks are too few for all: sequences are given up, computed again, cancelled and paused, and so are what their layers follow.
TEST_P(DraftingLayer, changes_no_token_of_sequences_that_are_computed_again) {
  const Files files(GetParam());
  const auto plain = Engine::open(files.path(), with(Speculation::off));
  const auto engine = Engine::open(files.path(), with(Speculation::always));
  Engine::Impl& impl = engine->impl();
  const auto of = [](int i) {
    Request request = request_of(varied_tokens(200 + 9 * i, i), i % 2 == 0 ? 0.0 : 1.0, {});
    request.max_tokens = 120;
    return request;
  };
  impl.worker.run([&] {  // what two sequences need and a half
    Bytes all{};
    for (const auto& group : impl.kv_layout->groups) all.count += 2 * group.block_bytes.count;
    impl.kv_pool.set_cap({all.count * 5 / 2});
  });
  std::vector<std::shared_ptr<Recorder>> recorders;
  std::vector<std::unique_ptr<Generation>> generations;
  for (int i = 0; i < 8; ++i) {
    recorders.push_back(std::make_shared<Recorder>());
    generations.push_back(begin_generation(*engine, of(i), recorders.back()));
  }
  recorders[3]->wait_for_tokens(5);
  generations[3]->cancel();
  generations[5]->set_paused(true);
  generations[5]->set_paused(false);
  for (size_t i = 0; i < 8; ++i) {
    Request alone = of(static_cast<int>(i));
    alone.cache_salt = std::to_string(i);
    const auto recorder = std::make_shared<Recorder>();
    const auto generation = begin_generation(*plain, alone, recorder);
    const Tokens expected = recorder->wait().tokens, got = recorders[i]->wait().tokens;
    ASSERT_LE(got.size(), expected.size());
    EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin())) << i;
    EXPECT_TRUE(i == 3 || got.size() == expected.size()) << i;
  }
  EXPECT_GT(engine->scheduler().preemptions, 0);
}

/// Its guesses are those of the text alone, whatever was guessed and seen before, and after what was kept of a conversation.
TEST_P(DraftingLayer, says_what_it_would_say_without_what_came_before) {
  const Files files(GetParam());
  const auto engine = Engine::open(files.path(), with(Speculation::always));
  Engine::Impl& impl = engine->impl();
  constexpr size_t kWidth = 32;
  const auto states_of = [&](const Tokens& tokens) {
    std::vector<float> states;
    nn::KvCache kv = impl.new_cache();
    impl.stepper->begin({{{.kv = &kv,
                           .tokens = tokens,
                           .logits_from = std::ssize(tokens),
                           .see_raw = [&](int64_t, std::span<const float> state) {
                             states.insert(states.end(), state.begin(), state.end());
                           }}}});
    (void)impl.stepper->finish();
    return states;
  };
  Tokens timeline = varied_tokens(200);
  impl.worker.run([&] {
    for (int turn = 0; turn < 3; ++turn) {
      const auto guesses = impl.draft_layer->guesses("conversation");
      const size_t n_held = turn == 0 ? 0 : timeline.size() - 1;
      timeline.insert(timeline.end(), {3, 1});
      guesses->begin(timeline, static_cast<int64_t>(n_held));
      for (int i = 0; i < 30; ++i) {
        Tokens guessed = timeline;  // and computed, but wrong
        guessed.insert(guessed.end(), {1, 2, 3});
        const std::vector<float> states = states_of(guessed);
        for (size_t at = n_held; at < guessed.size(); ++at)
          guesses->see(static_cast<int64_t>(at), std::span(states).subspan(at * kWidth, kWidth));
        guesses->follow(timeline);
        const decode::Draft draft = guesses->draft(timeline, 1 + i % 8);
        ASSERT_FALSE(draft.tokens.empty()) << turn << ' ' << i;
        text::Token wanted = -1;
        engine->draft_logits(timeline, [&](int64_t, std::span<const float> logits) {
          wanted = decode::best_token(logits);
        });
        EXPECT_EQ(draft.tokens[0], wanted) << turn << ' ' << i;
        EXPECT_EQ(guesses->draft(timeline, 1).tokens, Tokens{wanted});  // asked again
        for (int n = 0; i < 29 && n <= i % 3; ++n) timeline.push_back((i * 7 + n + turn) % 53);
      }
      guesses->end(timeline);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Models, DraftingLayer,
                         testing::Values(drafting_gated_delta(), decode::mimo_model(),
                                         decode::with_states(drafting_gated_delta(),
                                                             kernels::KvType::bf16)),
                         [](const auto& of) { return kKinds[of.index]; });

/// Also over blocks' ends, after prompts that were found again, and in a conversation's next turn.
TEST(DraftLayer, that_is_right_is_believed) {
  const Files files = files_that_are_right();
  const auto plain = Engine::open(files.path(), with(Speculation::off));
  const auto engine = Engine::open(files.path(), with(Speculation::always));
  for (const int n_prompt : {1, 5, 230, 300}) {
    Tokens tokens = varied_tokens(n_prompt);
    for (int turn = 0; turn < 3; ++turn) {
      const Answer got = answer(*engine, tokens, 0, "conversation");
      EXPECT_EQ(got.result.tokens, answer(*plain, tokens, 0).result.tokens);
      EXPECT_EQ(got.result.drafted.accepted, got.result.drafted.tokens) << n_prompt << ' ' << turn;
      EXPECT_GT(got.result.drafted.accepted, 40) << n_prompt << ' ' << turn;
      tokens.insert(tokens.end(), got.result.tokens.begin(), got.result.tokens.end());
      tokens.insert(tokens.end(), {7, 8, 9});
    }
  }
}

TEST(DraftLayer, counts_in_a_budget_and_is_left_out_where_weights_are_streamed) {
  const Files files = files_that_are_right();
  const auto plain = Engine::open(files.path(), with(Speculation::off));
  const Tokens tokens = varied_tokens(40);
  const Tokens wanted = answer(*plain, tokens, 0).result.tokens;
  const auto large = open_streamed(with(Speculation::always), 64 << 20, files.path());
  EXPECT_EQ(large->left_out(), "");
  Answer got = answer(*large, tokens, 0);
  EXPECT_EQ(got.result.tokens, wanted);
  EXPECT_GT(got.result.drafted.accepted, 40);
  const auto small = open_streamed(with(Speculation::always), 0, files.path());
  ASSERT_FALSE(small->plan()->mapped);
  EXPECT_EQ(small->left_out(), "left out: layers that draft tokens");
  got = answer(*small, tokens, 0);
  EXPECT_EQ(got.result.tokens, wanted);
  EXPECT_EQ(got.result.drafted.tokens, 0);
  EXPECT_NE(got.result.drafted.off_because, "");
}

TEST(DraftLayer, of_another_shape_is_left_out_and_told) {
  decode::HybridModel model = drafting_gated_delta();
  model.tensors["mtp.layers.0.self_attn.q_proj.weight"] = {32, 32};
  const Files files(model);
  const auto plain = Engine::open(files.path(), with(Speculation::off));
  const auto engine = Engine::open(files.path(), with(Speculation::always, Guessers::all));
  EXPECT_EQ(engine->left_out(), "left out: layers that draft tokens");
  EXPECT_EQ(answer(*engine, varied_tokens(40), 0).result.tokens,
            answer(*plain, varied_tokens(40), 0).result.tokens);
}

TEST(DraftLayer, whose_norms_are_like_none_of_the_model_is_left_out) {
  const Files files(drafting_gated_delta(), [](const std::string& name, int64_t) {
    const bool is_norm = name.starts_with("mtp.layers.0.input_layernorm");
    return is_norm ? std::optional(3.0F) : std::nullopt;
  });
  EXPECT_EQ(Engine::open(files.path(), with(Speculation::always))->left_out(),
            "left out: layers that draft tokens");
}

}  // namespace
}  // namespace sluice::engine
