#include "sluice/io/lfs_pointer.h"

#include <gtest/gtest.h>

#include <string_view>

#include "sluice/base/error.h"

namespace sluice::io {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

constexpr std::string_view kPointer =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:0000000000000000000000000000000000000000000000000000000000000007\n"
    "size 1234567890\n";

TEST(LfsPointer, IsRecognizedAndTellsTheMissingSize) {
  EXPECT_EQ(lfs_pointer_at(bytes(kPointer))->count, 1234567890u);
  EXPECT_EQ(lfs_pointer_at(bytes(kPointer.substr(0, 50)))->count, 0u);
  EXPECT_FALSE(lfs_pointer_at(bytes("{\"version\": \"1.0\"}")));
  EXPECT_FALSE(lfs_pointer_at(bytes("")));
}

TEST(LfsPointer, IsRefusedWithWhatToDo) {
  refuse_lfs_pointer(bytes("GGUF"), "m.gguf");
  try {
    refuse_lfs_pointer(bytes(kPointer), "m.gguf");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_model);
    EXPECT_STREQ(error.what(),
                 "m.gguf: is a Git LFS pointer, not the file of 1.23 GB; fetch it with `git lfs "
                 "pull`, or the model with `sluice pull`");
  }
}

}  // namespace
}  // namespace sluice::io
