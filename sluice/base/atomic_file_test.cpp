#include "sluice/base/atomic_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "sluice/base/error.h"

namespace sluice {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* const test = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ = fs::path(::testing::TempDir()) / (std::to_string(::getpid()) + "-" + test->name());
    fs::remove_all(directory_);
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  size_t n_entries() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }
  static std::string text_of(const fs::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }

  fs::path directory_;
};

TEST_F(AtomicFileTest, what_was_there_stays_until_all_is_written) {
  const fs::path path = directory_ / "a";
  std::ofstream(path) << "old";
  AtomicFile file(path);
  file.write("new ");
  file.write("text");
  EXPECT_EQ(text_of(path), "old");
  file.commit();
  EXPECT_EQ(text_of(path), "new text");
  EXPECT_EQ(n_entries(), 1u);
}

TEST_F(AtomicFileTest, what_is_not_committed_leaves_nothing) {
  {
    AtomicFile file(directory_ / "a");
    file.write("half");
    EXPECT_EQ(n_entries(), 1u);
  }
  EXPECT_EQ(n_entries(), 0u);
}

TEST_F(AtomicFileTest, what_a_signal_handler_calls_removes_what_is_half_written_and_nothing_else) {
  write_file_atomically(directory_ / "whole", "text");
  {
    AtomicFile done(directory_ / "done"), half(directory_ / "half"), other(directory_ / "other");
    done.write("all of it");
    done.commit();
    half.write("half");
    AtomicFile::remove_temporaries();
    EXPECT_EQ(n_entries(), 2u);
  }
  // Places are given back: more files in turn than there are places.
  for (int i = 0; i < 100; ++i) {
    const AtomicFile file(directory_ / "again");
    EXPECT_THROW(AtomicFile(directory_ / "absent" / "a"), Error);
    AtomicFile::remove_temporaries();
    EXPECT_EQ(n_entries(), 2u);
  }
  EXPECT_EQ(text_of(directory_ / "whole"), "text");
  EXPECT_EQ(text_of(directory_ / "done"), "all of it");
}

TEST_F(AtomicFileTest, a_place_that_cannot_be_written_is_an_error_at_once) {
  for (const fs::path& path : {directory_ / "absent" / "a", directory_, fs::path("/dev/null")}) {
    try {
      const AtomicFile file(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::io);
      EXPECT_TRUE(std::string(error.what()).starts_with(path.string())) << error.what();
    }
  }
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(AtomicFileTest, a_full_disk_is_an_error_and_what_was_there_stays) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  const fs::path path = directory_ / "a";
  std::ofstream(path) << "old";
  fs::create_symlink("/dev/full", directory_ / ("a." + std::to_string(::getpid()) + ".partial"));
  AtomicFile file(path);
  EXPECT_THROW(
      {
        file.write(std::string(1 << 20, 'x'));
        file.commit();
      },
      Error);
  EXPECT_EQ(text_of(path), "old");
}

}  // namespace
}  // namespace sluice
