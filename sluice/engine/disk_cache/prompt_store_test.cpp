#include "sluice/engine/disk_cache/prompt_store.h"

#include <sys/stat.h>

#include <thread>

#include "sluice/engine/disk_cache/test_stores.h"

namespace sluice::engine {
namespace {

TEST(PromptStore, gives_back_what_was_put_also_after_a_restart) {
  TestStore test;
  const TestStretch one(1), other(2), apart(1, "salt");
  {
    const auto store = test.open();
    EXPECT_EQ(one.put(*store), PromptStore::Put::done);
    EXPECT_EQ(one.recall(*store), one.bytes());
  }
  const auto store = test.open();
  EXPECT_EQ(one.recall(*store), one.bytes());
  EXPECT_EQ(other.recall(*store), std::nullopt);
  EXPECT_EQ(apart.recall(*store), std::nullopt) << "the same tokens of another partition";
  EXPECT_FALSE(store->find(one.key.chain, other.tokens)) << "tokens are compared";
  EXPECT_TRUE(test.lines.empty()) << test.lines[0];
}

TEST(PromptStore, its_files_are_its_owners_alone) {
  TestStore test;
  const auto store = test.open();
  TestStretch(1).put(*store);
  const auto mode = [](const std::filesystem::path& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 0777;
  };
  for (const char* folder : {"", "blocks", "quarantine"})
    EXPECT_EQ(mode(test.folder / folder), 0700U) << folder;
  for (const auto& file : files_below(test.folder)) EXPECT_EQ(mode(file), 0600U) << file;
}

TEST(PromptStore, a_tag_is_of_one_place) {
  const std::string chain = first_chain("model", "");
  const std::string bytes = block_bytes(1, 1000);
  const auto tag = [&](std::string_view of, int part, std::string_view name) {
    BlockTag all(of, part, name);
    all.update(io::as_bytes(bytes));
    return all.finish();
  };
  const std::string expected = tag(chain, 0, "a");
  BlockTag pieces(chain, 0, "a");
  for (size_t at = 0; at < bytes.size(); at += 7)
    pieces.update(io::as_bytes(std::string_view(bytes).substr(at, 7)));
  EXPECT_EQ(pieces.finish(), expected);
  EXPECT_NE(tag(chain, 1, "a"), expected);
  EXPECT_NE(tag(chain, 0, "b"), expected);
  EXPECT_NE(tag(first_chain("model", "salt"), 0, "a"), expected);
  EXPECT_NE(tag(first_chain("other model", ""), 0, "a"), expected);
}

TEST(PromptStore, the_least_recently_used_goes_when_the_cap_is_reached) {
  TestStore test;
  test.options.cap = Bytes{3 * 64};
  const auto store = test.open();
  for (int kind : {1, 2, 3}) EXPECT_EQ(TestStretch(kind).put(*store), PromptStore::Put::done);
  TestStretch used(1);
  used.key.used_at = 2000;
  EXPECT_TRUE(store->find_and_use(used.key));
  EXPECT_EQ(TestStretch(4).put(*store), PromptStore::Put::done);
  EXPECT_TRUE(TestStretch(1).recall(*store));
  EXPECT_FALSE(TestStretch(2).recall(*store));
  EXPECT_EQ(files_below(test.folder / "blocks").size(), 3U);
  EXPECT_EQ(TestStretch(5, "", 1000).put(*store), PromptStore::Put::refused) << "above the cap";
  EXPECT_EQ(store->summary().bytes.count, 3 * 64U);
  // A smaller cap holds for what is there already, and is remembered.
  test.options.cap = Bytes{64};
  test.open()->sweep();
  test.options.cap.reset();
  EXPECT_EQ(test.open()->summary().cap.count, 64U);
  EXPECT_EQ(files_below(test.folder / "blocks").size(), 1U);
  EXPECT_TRUE(TestStretch(1).recall(*store)) << "the one that was used last";
}

TEST(PromptStore, no_more_is_written_in_a_day_than_it_may_be) {
  TestStore test;
  test.options.daily = Bytes{2 * 64};
  const auto store = test.open();
  EXPECT_EQ(TestStretch(1).put(*store), PromptStore::Put::done);
  EXPECT_EQ(TestStretch(2).put(*store), PromptStore::Put::done);
  EXPECT_EQ(TestStretch(3).put(*store), PromptStore::Put::refused);
  EXPECT_EQ(store->summary().written_today.count, 128U);
  store->clear({});
  EXPECT_EQ(TestStretch(3).put(*store), PromptStore::Put::refused) << "it was written all the same";
}

TEST(PromptStore, clear_takes_what_is_named_and_says_how_much) {
  TestStore test;
  const auto store = test.open();
  TestStretch(1).put(*store);
  TestStretch(2).put(*store);
  TestStretch(1, "salt").put(*store);
  const std::vector<std::string> label{"another"};
  const auto some = store->clear(label);
  EXPECT_EQ(some.files, 1);
  EXPECT_EQ(some.bytes.count, 64U);
  EXPECT_TRUE(TestStretch(1).recall(*store));
  EXPECT_EQ(store->clear({}).files, 2);
  EXPECT_TRUE(files_below(test.folder / "blocks").empty());
  EXPECT_TRUE(store->summary().entries.empty());
}

TEST(PromptStore, what_is_given_up_leaves_nothing) {
  TestStore test;
  const auto store = test.open();
  const TestStretch large(1, "", 3 << 20);
  test.options.cap = Bytes{1 << 30};
  const auto roomy = test.open();
  const std::string bytes = large.bytes();
  int asked = 0;
  const auto put = roomy->put(
      large.key, 0, {io::as_bytes(bytes), [&] { return ++asked < 3; }, [] { ADD_FAILURE(); }});
  EXPECT_EQ(put, PromptStore::Put::stopped);
  EXPECT_TRUE(files_below(test.folder / "blocks").empty());
  EXPECT_FALSE(large.recall(*roomy));
  EXPECT_EQ(large.put(*roomy), PromptStore::Put::done);
  EXPECT_EQ(large.recall(*roomy), bytes);
}

TEST(PromptStore, many_may_use_one_folder) {
  TestStore test;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      DiskCacheOptions options = test.options;
      options.log = {};
      PromptStore store(options);
      for (int i = 0; i < 30; ++i) {
        const TestStretch stretch((i * 7 + t) % 10);
        EXPECT_EQ(stretch.put(store), PromptStore::Put::done);
        EXPECT_EQ(stretch.recall(store), stretch.bytes());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const auto store = test.open();
  EXPECT_EQ(files_below(test.folder / "blocks").size(), 10U) << "each once";
  EXPECT_EQ(store->verify().blocks, 10);
}

}  // namespace
}  // namespace sluice::engine
