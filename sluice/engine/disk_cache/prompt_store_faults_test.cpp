// What a store does with damaged files, full disks, and processes that die while they write.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>

#include "sluice/engine/disk_cache/test_stores.h"

namespace sluice::engine {
namespace {

TEST(PromptStoreFaults, no_byte_of_a_block_can_be_another_one_and_none_be_missing) {
  TestStore test;
  const TestStretch stretch(1);
  const auto store = test.open();
  for (size_t at = 0; at < stretch.size; ++at) {
    ASSERT_EQ(stretch.put(*store), PromptStore::Put::done);
    std::string bytes = stretch.bytes();
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    write_content(test.only_block(), at % 2 == 0 ? bytes : bytes.substr(0, at));
    ASSERT_EQ(stretch.recall(*store), std::nullopt) << at;
    ASSERT_EQ(test.lines.size(), at + 1) << "one line each";
    EXPECT_TRUE(files_below(test.folder / "blocks").empty());
  }
  EXPECT_LE(files_below(test.folder / "quarantine").size(), 8U) << "and no more are kept";
  EXPECT_EQ(stretch.put(*store), PromptStore::Put::done);
  EXPECT_EQ(stretch.recall(*store), stretch.bytes());
}

TEST(PromptStoreFaults, a_file_that_is_gone_or_swapped_with_another_is_not_believed) {
  TestStore test;
  const TestStretch one(1), two(2);
  const auto store = test.open();
  one.put(*store);
  const auto first = test.only_block();
  two.put(*store);
  const auto all = files_below(test.folder / "blocks");
  const auto second = all[0] == first ? all[1] : all[0];
  write_content(first, two.bytes());
  write_content(second, one.bytes());
  EXPECT_EQ(one.recall(*store), std::nullopt);
  EXPECT_EQ(two.recall(*store), std::nullopt);
  one.put(*store);
  std::filesystem::remove(test.only_block());
  EXPECT_EQ(one.recall(*store), std::nullopt);
}

TEST(PromptStoreFaults, verify_finds_what_is_damaged) {
  TestStore test;
  const auto store = test.open();
  TestStretch(1).put(*store);
  write_content(test.only_block(), block_bytes(5, 64));
  TestStretch(2).put(*store);
  const auto verdict = store->verify();
  EXPECT_EQ(verdict.blocks, 2);
  EXPECT_EQ(verdict.damaged, 1);
  EXPECT_EQ(verdict.index, "");
  EXPECT_EQ(store->verify().damaged, 0) << "it is not there any more";
}

/// The index with one byte changed, or its end cut off, gives what was put or nothing, and what is put then is found,
/// at the next start at the latest.
TEST(PromptStoreFaults, a_damaged_index_costs_what_it_held_and_no_more) {
  TestStore original;
  constexpr int kStretches = 6;
  {
    const auto store = original.open();
    for (int kind = 0; kind < kStretches; ++kind) TestStretch(kind).put(*store);
  }
  const std::string whole = content_of(original.folder / "index.db");
  ASSERT_GT(whole.size(), 1000U);
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    TestStore test;
    std::filesystem::copy(original.folder, test.folder, std::filesystem::copy_options::recursive);
    std::string bytes = whole;
    const size_t at = round < 40 ? static_cast<size_t>(2 * round) : random() % whole.size();
    if (round % 10 == 9) {
      bytes.resize(at);
    } else {
      bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(1 + random() % 255));
    }
    write_content(test.folder / "index.db", bytes);
    {
      const auto store = test.open();
      for (int kind = 0; kind < kStretches; ++kind) {
        const TestStretch stretch(kind);
        const auto recalled = stretch.recall(*store);
        ASSERT_TRUE(!recalled || *recalled == stretch.bytes()) << "byte " << at;
        stretch.put(*store);
      }
      store->sweep();
      (void)store->summary();
    }
    const auto store = test.open();
    const TestStretch again(99);
    again.put(*store);
    const auto recalled = again.recall(*store);
    ASSERT_TRUE(!recalled || *recalled == again.bytes()) << "byte " << at;
  }
}

TEST(PromptStoreFaults, an_index_that_is_none_is_begun_anew) {
  TestStore test;
  for (const size_t bytes : {600, 50'000}) {
    std::filesystem::create_directories(test.folder);
    write_content(test.folder / "index.db", std::string(bytes, 'x'));
    const auto store = test.open();
    EXPECT_EQ(TestStretch(1).put(*store), PromptStore::Put::done);
    EXPECT_EQ(TestStretch(1).recall(*store), TestStretch(1).bytes());
  }
  EXPECT_EQ(test.lines.size(), 2U);
}

TEST(PromptStoreFaults, a_folder_that_cannot_be_used_is_one_error) {
  TestStore test;
  write_content(test.folder, "a file");
  EXPECT_EQ(io::error_of([&] { test.open(); }).kind(), ErrorKind::io);
  if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  std::filesystem::permissions(test.directory.path(), std::filesystem::perms::owner_read |
                                                          std::filesystem::perms::owner_exec);
  test.options.folder = test.directory.path() / "other";
  EXPECT_EQ(io::error_of([&] { test.open(); }).kind(), ErrorKind::io);
  std::filesystem::permissions(test.directory.path(), std::filesystem::perms::owner_all);
}

/// What `work` does in a process of its own; it returns what the process ends with.
int in_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST(PromptStoreFaults, a_disk_that_is_full_is_told_once_and_left_alone) {
  TestStore test;
  test.options.cap = Bytes{1 << 30};
  {
    const auto store = test.open();
    TestStretch(1).put(*store);
  }
  // A limit on the size of files stands for the disk: writes end short, then fail.
  const int code = in_child([&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const auto store = test.open();
    const rlimit limit{100'000, 100'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const TestStretch large(2, "", 300'000);
    if (large.put(*store) != PromptStore::Put::refused) return 1;
    if (large.put(*store) != PromptStore::Put::refused) return 2;
    if (test.lines.size() != 1) return 3;
    if (TestStretch(1).recall(*store) != TestStretch(1).bytes()) return 4;
    return 0;
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(files_below(test.folder / "blocks").size(), 1U) << "nothing half-written is left";
  const auto store = test.open();
  EXPECT_EQ(TestStretch(2, "", 300'000).put(*store), PromptStore::Put::done);
  test.options.keep_free = Bytes{uint64_t{1} << 62};
  EXPECT_EQ(TestStretch(3).put(*test.open()), PromptStore::Put::refused) << "others need the room";
}

TEST(PromptStoreFaults, a_process_killed_while_it_writes_leaves_nothing_wrong) {
  TestStore test;
  test.options.cap = Bytes{40 << 20};
  std::mt19937 random(3);
  for (int round = 0; round < 10; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto store = test.open();
      for (int kind = 0;; ++kind) TestStretch(round * 100 + kind, "", 600'000).put(*store);
    }
    ::usleep(static_cast<useconds_t>(5000 + random() % 40000));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  const auto store = test.open();
  int64_t found = 0;
  for (int round = 0; round < 10; ++round) {
    for (int kind = 0; kind < 100; ++kind) {
      const TestStretch stretch(round * 100 + kind, "", 600'000);
      const auto recalled = stretch.recall(*store);
      if (!recalled) continue;
      ++found;
      ASSERT_EQ(*recalled, stretch.bytes());
    }
  }
  EXPECT_GT(found, 0);
  EXPECT_TRUE(test.lines.empty()) << test.lines[0];
  store->sweep();
  for (const auto& file : files_below(test.folder / "blocks"))
    EXPECT_NE(file.extension(), ".partial") << file;
}

}  // namespace
}  // namespace sluice::engine
