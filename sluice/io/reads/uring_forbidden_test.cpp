// Containers often forbid io_uring, and limit threads.
#include <errno.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <array>
#include <cstddef>
#include <thread>

#include "sluice/io/reads/disk_probe.h"
#include "sluice/io/reads/reader_test_files.h"

namespace sluice::io {
namespace {

/// For the calling thread and those it starts: these two system calls answer `error`, all else is allowed.
bool forbid(unsigned call, unsigned other, int error) {
  std::array<sock_filter, 5> program = {{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 1, 0, call},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, other},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog filter = {static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(AsyncReader, reads_with_threads_where_io_uring_is_forbidden_or_unknown) {
  const RandomFile file(100'000);
  for (const int error : {EPERM, ENOSYS}) {
    bool forbidden = false;
    std::thread([&] {
      forbidden = forbid(__NR_io_uring_setup, __NR_io_uring_setup, error);
      if (!forbidden) return;
      AsyncReader reader(file.files());
      EXPECT_EQ(reader.kind(), ReaderKind::threads);
      EXPECT_EQ(reader.fallback_reason(),
                std::string("io_uring_setup: ") + std::generic_category().message(error));
      const Landing landing(5, 50'000);
      reader.wait(reader.submit(std::vector{landing.request()})[0]);
      EXPECT_TRUE(landing.holds(file.contents()));
      const Error demanded =
          error_of([&] { AsyncReader(file.files(), {.kind = ReaderKind::io_uring}); });
      EXPECT_EQ(demanded.kind(), ErrorKind::io);
    }).join();
    if (!forbidden) GTEST_SKIP() << "seccomp filters cannot be installed here";
  }
}

TEST(AsyncReader, where_no_more_threads_can_be_made_it_is_an_error_and_not_the_end) {
  const RandomFile file(3'000'000);
  bool forbidden = false;
  std::thread([&] {
    forbidden = forbid(__NR_clone, __NR_clone3, EAGAIN);
    if (!forbidden) return;
    for (const auto kind : {ReaderKind::automatic, ReaderKind::io_uring, ReaderKind::threads}) {
      const Error error = error_of([&] { AsyncReader(file.files(), {.kind = kind}); });
      EXPECT_EQ(error.kind(), ErrorKind::io);
      EXPECT_NE(std::string(error.what()).find("a thread that reads files cannot be made"),
                std::string::npos)
          << error.what();
    }
    EXPECT_EQ(probe_disk(file.path()), 0);
  }).join();
  if (!forbidden) GTEST_SKIP() << "seccomp filters cannot be installed here";
}

}  // namespace
}  // namespace sluice::io
