#include "sluice/io/formats/header_extent.h"

#include <gtest/gtest.h>

#include "sluice/io/formats/test_files.h"

namespace sluice::io {
namespace {

/// The bytes that are asked for of a file, until they do.
std::vector<uint64_t> asked(std::string_view file) {
  GgufHeaderExtent extent;
  std::vector<uint64_t> sizes = {0};
  while (true) {
    const uint64_t wanted = extent(as_bytes(file.substr(0, sizes.back())));
    if (wanted <= sizes.back()) return sizes;
    sizes.push_back(std::min<uint64_t>(wanted, file.size()));
    if (sizes[sizes.size() - 1] == sizes[sizes.size() - 2]) return sizes;
  }
}

constexpr uint64_t kMiB = 1 << 20;

TEST(HeaderExtent, a_safetensors_header_says_how_long_it_is) {
  EXPECT_GE(safetensors_header_extent({}), 8u);
  EXPECT_EQ(safetensors_header_extent(as_bytes(raw(uint64_t{1'000'000}))), 1'000'008u);
  for (const uint64_t absurd : {uint64_t{100'000'001}, ~uint64_t{0}, ~uint64_t{7}}) {
    EXPECT_EQ(safetensors_header_extent(as_bytes(raw(absurd))), 8u);
  }
}

TEST(HeaderExtent, a_gguf_is_read_on_until_its_header_ends) {
  GgufFile file{
      .tensors = {gguf_tensor("t", {32}, 0, 0)},
      .pairs = {gguf_pair("long", GgufType::string, gguf_string(std::string(3 * kMiB, 'x'))),
                gguf_pair("short", GgufType::u8, raw(uint8_t{1}))},
      .data_bytes = 20 * kMiB};
  EXPECT_EQ(asked(file.bytes()), (std::vector<uint64_t>{0, kMiB, 2 * kMiB, 4 * kMiB}));
  file.pairs.erase(file.pairs.begin());
  EXPECT_EQ(asked(file.bytes()), (std::vector<uint64_t>{0, kMiB}));
}

TEST(HeaderExtent, of_a_damaged_gguf_little_is_asked_for) {
  const std::string tail(30 * kMiB, '\0');
  const std::string bad_type = gguf_string("key") + raw(uint32_t{99}) + raw(uint64_t{0});
  for (const std::string& damaged :
       {std::string("<!DOCTYPE html>") + tail, tail, GgufFile{.version = 9}.bytes() + tail,
        GgufFile{.pairs = {bad_type}}.bytes() + tail,
        GgufFile{.tensors = {gguf_tensor("t", {32}, 34, 0)}}.bytes() + tail}) {
    EXPECT_LE(asked(damaged).back(), 2 * kMiB);
  }
}

TEST(HeaderExtent, counts_that_no_file_can_hold_end_at_a_bound) {
  const GgufFile file{.extra_tensors = uint64_t{1} << 60};
  EXPECT_LE(asked(file.bytes() + std::string(100 * kMiB, '\0')).back(), 64 * kMiB);
}

}  // namespace
}  // namespace sluice::io
