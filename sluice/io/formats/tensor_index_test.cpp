#include "sluice/io/formats/tensor_index.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace sluice::io {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();

std::optional<uint64_t> bytes_of(TensorType type, const std::vector<int64_t>& shape) {
  return stored_bytes(type, shape);
}

TEST(TensorIndex, every_type_has_its_name_and_block_size) {
  EXPECT_EQ(info(TensorType::f64).name, "f64");
  EXPECT_EQ(info(TensorType::boolean).name, "bool");
  EXPECT_EQ(info(TensorType::f8_e8m0).block_bytes, 1);
  EXPECT_EQ(info(TensorType::q4_0).name, "q4_0");
  EXPECT_EQ(info(TensorType::q4_k).block_bytes, 144);
  EXPECT_EQ(info(TensorType::q6_k).block_elements, 256);
  EXPECT_EQ(info(TensorType::iq4_xs).name, "iq4_xs");
  EXPECT_EQ(info(TensorType::mxfp4).block_bytes, 17);
}

TEST(TensorIndex, stored_bytes_follow_shape_and_block) {
  EXPECT_EQ(bytes_of(TensorType::bf16, {3, 5}), 30u);
  EXPECT_EQ(bytes_of(TensorType::f32, {}), 4u);
  EXPECT_EQ(bytes_of(TensorType::q4_k, {2, 512}), 4u * 144u);
  EXPECT_EQ(bytes_of(TensorType::f32, {7, 0, 3}), 0u);
}

TEST(TensorIndex, a_row_that_is_no_whole_number_of_blocks_has_no_size) {
  EXPECT_EQ(bytes_of(TensorType::q4_0, {32, 33}), std::nullopt);
  EXPECT_EQ(bytes_of(TensorType::q8_0, {}), std::nullopt);
}

TEST(TensorIndex, overflow_and_negative_dimensions_have_no_size) {
  EXPECT_EQ(bytes_of(TensorType::u8, {-1}), std::nullopt);
  EXPECT_EQ(bytes_of(TensorType::u8, {kMax, 2}), std::nullopt);
  EXPECT_EQ(bytes_of(TensorType::f32, {kMax / 2}), std::nullopt);
  EXPECT_EQ(bytes_of(TensorType::u8, {int64_t{1} << 32, int64_t{1} << 32, 0}), std::nullopt);
  EXPECT_EQ(bytes_of(TensorType::u8, {kMax}), static_cast<uint64_t>(kMax));
}

}  // namespace
}  // namespace sluice::io
