#include "sluice/io/mapped_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "sluice/base/error.h"
#include "sluice/io/formats/test_files.h"
#include "sluice/io/page_size.h"

namespace sluice::io {
namespace {

TEST(MappedFile, bytes_are_the_files_bytes_and_eight_readable_bytes_precede_them) {
  const TestDirectory directory;
  const auto file = MappedFile::open(directory.write("a.bin", std::string(10, 'x')));
  ASSERT_EQ(file->bytes().size(), 10u);
  EXPECT_EQ(file->bytes()[9], std::byte{'x'});
  const std::byte* const before = file->bytes().data() - 8;
  EXPECT_EQ(before[0], std::byte{0});
  EXPECT_FALSE(file->changed());
}

TEST(MappedFile, an_empty_file_is_a_bad_model_and_a_missing_one_an_io_error) {
  const TestDirectory directory;
  EXPECT_EQ(error_of([&] { MappedFile::open(directory.write("empty", "")); }).kind(),
            ErrorKind::bad_model);
  const Error missing = error_of([&] { MappedFile::open(directory.path() / "absent"); });
  EXPECT_EQ(missing.kind(), ErrorKind::io);
  EXPECT_NE(std::string(missing.what()).find("absent"), std::string::npos);
}

TEST(MappedFile, directories_and_pipes_are_refused_without_waiting) {
  const TestDirectory directory;
  EXPECT_EQ(error_of([&] { MappedFile::open(directory.path()); }).kind(), ErrorKind::io);
  const auto pipe = directory.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(error_of([&] { MappedFile::open(pipe); }).kind(), ErrorKind::io);
}

TEST(MappedFile, a_lost_part_reads_as_zeros_and_is_reported) {
  const TestDirectory directory;
  const auto path = directory.write("a.bin", std::string(8 * page_size(), 'x'));
  const auto file = MappedFile::open(path);
  ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(3 * page_size())), 0);
  const auto bytes = file->bytes();
  EXPECT_EQ(bytes[7 * page_size() + 5], std::byte{0});
  EXPECT_EQ(bytes[4 * page_size()], std::byte{0});
  EXPECT_EQ(bytes[3 * page_size()], std::byte{0});
  EXPECT_EQ(bytes[3 * page_size() - 1], std::byte{'x'});
  EXPECT_TRUE(file->changed());
}

TEST(MappedFile, truncation_stays_reported_when_the_file_grows_back) {
  const TestDirectory directory;
  const auto path = directory.write("a.bin", std::string(4 * page_size(), 'x'));
  const auto file = MappedFile::open(path);
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  EXPECT_EQ(file->bytes()[page_size()], std::byte{0});
  ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(4 * page_size())), 0);
  EXPECT_TRUE(file->changed());
}

TEST(MappedFile, a_cut_inside_the_last_page_is_reported_though_no_signal_comes) {
  const TestDirectory directory;
  const auto path = directory.write("a.bin", std::string(page_size() + 200, 'x'));
  const auto file = MappedFile::open(path);
  ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(page_size() + 100)), 0);
  EXPECT_EQ(file->bytes()[page_size() + 150], std::byte{0});
  EXPECT_TRUE(file->changed());
}

TEST(MappedFile, only_the_truncated_file_is_reported) {
  const TestDirectory directory;
  const auto path = directory.write("a.bin", std::string(2 * page_size(), 'x'));
  const auto whole = MappedFile::open(directory.write("b.bin", std::string(2 * page_size(), 'y')));
  const auto cut = MappedFile::open(path);
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  EXPECT_EQ(cut->bytes()[0], std::byte{0});
  EXPECT_TRUE(cut->changed());
  EXPECT_FALSE(whole->changed());
  EXPECT_EQ(whole->bytes()[page_size()], std::byte{'y'});
}

TEST(MappedFile, a_file_that_is_overwritten_in_place_is_reported) {
  const TestDirectory directory;
  const auto path = directory.write("a.bin", std::string(2 * page_size(), 'x'));
  const auto file = MappedFile::open(path);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // a tick of the file system's clock
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).put('y');
  EXPECT_TRUE(file->changed());
  EXPECT_FALSE(MappedFile::open(path)->changed());
}

TEST(MappedFile, a_file_that_another_is_renamed_over_is_as_it_was) {
  const TestDirectory directory;
  const auto path = directory.write("a.bin", "old");
  const auto file = MappedFile::open(path);
  std::filesystem::rename(directory.write("b.bin", "new"), path);
  EXPECT_FALSE(file->changed());
  EXPECT_EQ(file->bytes()[0], std::byte{'o'});
}

TEST(MappedFile, many_threads_may_fault_at_once) {
  const TestDirectory directory;
  constexpr size_t kPages = 256;
  const auto path = directory.write("a.bin", std::string(kPages * page_size(), 'x'));
  const auto file = MappedFile::open(path);
  ASSERT_EQ(::truncate(path.c_str(), 0), 0);
  std::vector<int> sums(4, -1);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < sums.size(); ++t) {
    threads.emplace_back([&, t] {
      int sum = 0;
      for (size_t i = kPages; i-- > 0;)
        sum += std::to_integer<int>(file->bytes()[i * page_size() + t]);
      sums[t] = sum;
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(sums, std::vector<int>(4, 0));
  EXPECT_TRUE(file->changed());
}

TEST(MappedFile, files_can_be_opened_and_closed_more_often_than_there_are_slots) {
  const TestDirectory directory;
  const auto path = directory.write("a.bin", "x");
  for (int i = 0; i < 10'000; ++i) MappedFile::open(path);
  EXPECT_EQ(MappedFile::open(path)->bytes().size(), 1u);
}

TEST(MappedFileDeathTest, a_bus_error_elsewhere_goes_to_the_handler_that_was_there_before) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        struct sigaction theirs {};
        theirs.sa_handler = [](int) { ::_exit(42); };
        ::sigaction(SIGBUS, &theirs, nullptr);
        const TestDirectory directory;
        const auto guarded = MappedFile::open(directory.write("a.bin", "x"));
        ::raise(SIGBUS);
      },
      ::testing::ExitedWithCode(42), "");
}

TEST(MappedFileDeathTest, a_bus_error_elsewhere_kills_as_ever_when_nobody_handled_it) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        ::signal(SIGBUS, SIG_DFL);
        const TestDirectory directory;
        const auto path = directory.write("a.bin", std::string(page_size(), 'x'));
        const auto guarded = MappedFile::open(directory.write("b.bin", "x"));
        FILE* const stream = std::fopen(path.c_str(), "r");
        const auto* const alien = static_cast<const volatile char*>(
            ::mmap(nullptr, page_size(), PROT_READ, MAP_PRIVATE, ::fileno(stream), 0));
        if (::truncate(path.c_str(), 0) != 0) std::abort();
        ::_exit(alien[0]);
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

}  // namespace
}  // namespace sluice::io
