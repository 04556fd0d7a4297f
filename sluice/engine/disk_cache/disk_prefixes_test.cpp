// Blocks that go to disk and come back, and answers that do not change for it.
#include "sluice/engine/disk_cache/disk_prefixes.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "sluice/engine/disk_cache/test_stores.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/engine/generation.h"
#include "sluice/engine/test_engines.h"
#include "sluice/engine/test_recorder.h"

namespace sluice::engine {
namespace {

using Tokens = std::vector<int32_t>;
constexpr std::chrono::seconds kLong{60};

/// A layer that sees everything, and one with a window of 300 tokens, whose blocks hold random bytes.
class DiskBlocks : public testing::Test {
 protected:
  Tokens tokens(int64_t n) {
    Tokens all;
    for (int64_t i = 0; i < n; ++i) all.push_back(static_cast<int32_t>(i * 31 % 5000));
    return all;
  }
  /// A sequence whose blocks hold random bytes.
  nn::KvCache random_sequence(int64_t n) {
    nn::KvCache kv(layout, pool);
    kv.append(0, n);
    std::mt19937 random(static_cast<uint32_t>(n));
    for (int64_t i = 0; i < n / 256; ++i) {
      const nn::KvStretch stretch = kv.stretch(i);
      for (size_t g = 0; g < stretch.size(); ++g) {
        if (!stretch[g]) continue;
        for (uint64_t at = 0; at < layout->groups[g].block_bytes.count; ++at)
          stretch[g]->data()[at] = static_cast<std::byte>(random());
      }
    }
    return kv;
  }
  std::unique_ptr<DiskPrefixes> open() {
    return std::make_unique<DiskPrefixes>(test.options, "model", "a model", layout, pool, [] {});
  }
  std::vector<decode::Sealed> restore(DiskPrefixes& disk, const Tokens& of,
                                      std::vector<nn::KvStretch> held = {}) {
    const auto length = std::ssize(held) * 256;
    const auto read = disk.read("", of, {std::move(held), length}, [](Bytes) { return false; });
    if (read == nullptr) return {};
    read->wait();
    return read->take();
  }
  bool same(const nn::KvStretch& a, const nn::KvStretch& b, size_t group) const {
    return a[group] && b[group] &&
           std::memcmp(a[group]->data(), b[group]->data(),
                       layout->groups[group].block_bytes.count) == 0;
  }

  TestStore test;
  residency::KvPool pool;
  static std::shared_ptr<const nn::KvLayout> make_layout() {
    nn::KvLayout layout;
    for (const int64_t window : {0, 300}) layout.add_kv(1, 8, window);
    return std::make_shared<const nn::KvLayout>(std::move(layout));
  }
  std::shared_ptr<const nn::KvLayout> layout = make_layout();
};

TEST_F(DiskBlocks, come_back_to_the_bit_and_of_windows_what_is_seen) {
  test.options.cap = Bytes{1 << 30};
  const nn::KvCache kv = random_sequence(5 * 256 + 100);
  const Tokens of = tokens(5 * 256 + 100);
  {
    const auto disk = open();
    disk->keep("", of, kv);
  }  // which writes it
  const auto disk = open();
  const auto sealed = restore(*disk, of);
  ASSERT_EQ(sealed.size(), 5U);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(same(sealed[i].blocks, kv.stretch(static_cast<int64_t>(i)), 0)) << i;
    EXPECT_EQ(sealed[i].blocks[1] != nullptr, i >= 3) << "1280 - 300 lies in the fourth";
  }
  EXPECT_TRUE(same(sealed[4].blocks, kv.stretch(4), 1));
  // What memory holds is not read again.
  std::vector<nn::KvStretch> held{kv.stretch(0), kv.stretch(1)};
  const auto rest = restore(*disk, of, held);
  ASSERT_EQ(rest.size(), 5U);
  EXPECT_EQ(rest[1].blocks[0], held[1][0]);
  EXPECT_TRUE(same(rest[2].blocks, kv.stretch(2), 0));
  EXPECT_EQ(restore(*disk, tokens(255)).size(), 0U) << "less than a stretch";
  EXPECT_EQ(disk->report().restored_tokens, 5 * 256 + 3 * 256);
  Tokens others = of;
  others[300] = 7;
  EXPECT_EQ(restore(*disk, others).size(), 1U) << "as far as tokens agree";
  EXPECT_TRUE(test.lines.empty()) << test.lines[0];
}

TEST_F(DiskBlocks, after_a_damaged_one_nothing_is_believed) {
  test.options.cap = Bytes{1 << 30};
  const Tokens of = tokens(4 * 256);
  {
    const auto disk = open();
    disk->keep("", of, random_sequence(4 * 256));  // its blocks are gone before they are written
  }
  EXPECT_EQ(restore(*open(), of).size(), 0U);
  const nn::KvCache kv = random_sequence(4 * 256);
  {
    const auto disk = open();
    disk->keep("", of, kv);
  }
  for (const auto& file : files_below(test.folder / "blocks")) {
    std::string bytes = content_of(file);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] + 1);
    write_content(file, bytes);
  }
  const auto disk = open();
  const auto sealed = restore(*disk, of);
  for (const decode::Sealed& stretch : sealed) {
    for (const auto& block : stretch.blocks) EXPECT_EQ(block, nullptr);
  }
  EXPECT_EQ(test.lines.size(), 1U);
}

TEST_F(DiskBlocks, nothing_is_read_into_memory_that_is_not_there) {
  const nn::KvCache kv = random_sequence(4 * 256);
  const Tokens of = tokens(4 * 256);
  {
    const auto disk = open();
    disk->keep("", of, kv);
  }
  pool.set_cap(pool.in_use());
  const auto disk = open();
  EXPECT_TRUE(restore(*disk, of).empty());
  EXPECT_EQ(pool.in_use(), pool.cap());
}

TEST_F(DiskBlocks, are_written_only_while_there_is_nothing_to_compute) {
  test.options.cap = Bytes{1 << 30};
  const nn::KvCache kv = random_sequence(8 * 256);
  const auto disk = open();
  disk->set_idle(false);
  disk->keep("", tokens(8 * 256), kv);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(disk->report().blocks_written, 0);
  EXPECT_FALSE(disk->let_go());
  disk->set_idle(true);
  while (disk->report().blocks_written < 1) std::this_thread::yield();
  disk->flush(kLong);
  EXPECT_EQ(disk->report().blocks_written, 2 * 8);
}

// --- the engine

EngineOptions options_with(const TestStore& test) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 2048;
  options.disk_cache = test.options;
  options.disk_cache.cap = Bytes{1 << 30};
  options.disk_cache.even_if_slower = true;
  return options;
}

Request asked(int n_prompt, int first = 100) {
  Request request;
  request.tokens = prompt(n_prompt, first);
  request.max_tokens = 8;
  request.ignore_eos = true;
  return request;
}

Result answer_of(Engine& engine, const Request& request) {
  Session session(engine, "notes");
  return session.generate(request, [](const Event&) {});
}

/// Without a cache.
Tokens expected_of(const Request& request) {
  EngineOptions options;
  options.n_threads = 2;
  options.context = 2048;
  const auto engine = Engine::open(kTinyMoe, options);
  Session session(*engine);
  return session.generate(request, [](const Event&) {}).tokens;
}

TEST(DiskCache, an_answer_after_a_restart_is_the_one_that_would_be_computed) {
  TestStore test;
  const Request request = asked(900);
  const Tokens expected = expected_of(request);
  {
    const auto engine = Engine::open(kTinyMoe, options_with(test));
    const Result first = answer_of(*engine, request);
    EXPECT_EQ(first.tokens, expected);
    EXPECT_EQ(first.reused_tokens, 0);
    engine->flush_disk_cache(kLong);
    EXPECT_EQ(engine->disk_cache()->blocks_written, 3);
  }
  {
    const auto engine = Engine::open(kTinyMoe, options_with(test));
    const Result again = answer_of(*engine, request);
    EXPECT_EQ(again.tokens, expected);
    EXPECT_EQ(again.reused_tokens, 768);
    EXPECT_EQ(engine->disk_cache()->restored_tokens, 768);
    EXPECT_EQ(answer_of(*engine, request).reused_tokens, 899) << "from memory, to the token";
    EXPECT_EQ(engine->disk_cache()->restored_tokens, 768);
    Session apart(*engine);
    EXPECT_EQ(apart.generate(request, [](const Event&) {}).reused_tokens, 0) << "another's";
  }
  EngineOptions other = options_with(test);
  other.activations = ops::Activations::float32;
  EXPECT_EQ(answer_of(*Engine::open(kTinyMoe, other), request).reused_tokens, 0)
      << "other bits, other blocks";
  EXPECT_TRUE(test.lines.empty()) << test.lines[0];
}

TEST(DiskCache, a_session_of_its_own_leaves_nothing_on_disk) {
  TestStore test;
  const auto engine = Engine::open(kTinyMoe, options_with(test));
  Session session(*engine);
  session.generate(asked(600), [](const Event&) {});
  engine->flush_disk_cache(kLong);
  EXPECT_TRUE(files_below(test.folder / "blocks").empty());
}

TEST(DiskCache, whatever_becomes_of_the_folder_the_answer_is_the_same) {
  const Request request = asked(600);
  const Tokens expected = expected_of(request);
  TestStore original;
  {
    const auto engine = Engine::open(kTinyMoe, options_with(original));
    answer_of(*engine, request);
    engine->flush_disk_cache(kLong);
  }
  using Damage = std::function<void(const std::filesystem::path& folder)>;
  const std::vector<std::pair<const char*, Damage>> damages{
      {"a block",
       [](const auto& folder) {
         const auto file = files_below(folder / "blocks").at(1);
         std::string bytes = content_of(file);
         bytes[1234] = static_cast<char>(bytes[1234] ^ 1);
         write_content(file, bytes);
       }},
      {"shorter",
       [](const auto& folder) {
         std::filesystem::resize_file(files_below(folder / "blocks").at(0), 5000);
       }},
      {"gone",
       [](const auto& folder) { std::filesystem::remove(files_below(folder / "blocks").at(1)); }},
      {"the index", [](const auto& folder) { write_content(folder / "index.db", "nonsense"); }},
      {"a file for a folder",
       [](const auto& folder) {
         std::filesystem::remove_all(folder);
         write_content(folder, "a file");
       }},
  };
  for (const auto& [what, damage] : damages) {
    TestStore test;
    std::filesystem::copy(original.folder, test.folder, std::filesystem::copy_options::recursive);
    damage(test.folder);
    {
      const auto engine = Engine::open(kTinyMoe, options_with(test));
      EXPECT_EQ(answer_of(*engine, request).tokens, expected) << what;
    }
    EXPECT_EQ(test.lines.size(), 1U) << what;
    const auto engine = Engine::open(kTinyMoe, options_with(test));
    EXPECT_EQ(answer_of(*engine, request).tokens, expected) << what << ", once more";
  }
}

TEST(DiskCache, many_at_once_and_little_memory_change_nothing) {
  TestStore test;
  std::vector<Request> requests;
  std::vector<Tokens> expected;
  for (int i = 0; i < 4; ++i) {
    requests.push_back(asked(520 + 90 * i, 100 + i % 2));
    requests.back().uses_disk = true;
    expected.push_back(expected_of(requests.back()));
  }
  for (const uint64_t blocks : {0, 5, 9}) {  // 0: no limit; for a start with nothing on disk
    const auto engine = Engine::open(kTinyMoe, options_with(test));
    Engine::Impl& impl = engine->impl();
    if (blocks > 0) impl.kv_pool.set_cap({blocks * impl.kv_layout->groups[0].block_bytes.count});
    std::vector<std::shared_ptr<Recorder>> heard;
    std::vector<std::unique_ptr<Generation>> generations;
    for (const Request& request : requests) {
      heard.push_back(std::make_shared<Recorder>());
      generations.push_back(begin_generation(*engine, request, heard.back()));
    }
    for (size_t i = 0; i < requests.size(); ++i)
      EXPECT_EQ(heard[i]->wait().tokens, expected[i]) << i << " with " << blocks;
    engine->flush_disk_cache(kLong);
    if (blocks > 0) {
      EXPECT_GT(engine->disk_cache()->restored_tokens, 0);
    }
  }
  EXPECT_TRUE(test.lines.empty()) << test.lines[0];
}

TEST(DiskCache, an_engine_that_goes_away_ends_what_waits_for_the_disk) {
  TestStore test;
  Request request = asked(1500);
  request.uses_disk = true;
  for (int round = 0; round < 6; ++round) {
    auto engine = Engine::open(kTinyMoe, options_with(test));
    const auto heard = std::make_shared<Recorder>();
    auto generation = begin_generation(*engine, request, heard);
    if (round == 0) heard->wait();
    std::this_thread::sleep_for(std::chrono::microseconds(200 * round));
    generation.reset();
    engine.reset();
    const Result result = heard->wait();
    if (round == 0) {
      EXPECT_EQ(result.tokens.size(), 8U);
    }
  }
}

}  // namespace
}  // namespace sluice::engine
