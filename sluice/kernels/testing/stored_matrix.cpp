#include "sluice/kernels/testing/stored_matrix.h"

#include <algorithm>
#include <cstring>

#include "sluice/kernels/isa/tables.h"

namespace sluice::kernels {
namespace {

/// A GGUF block: where its float16 scales lie, and how large they may be for weights of size about 1.
struct Block {
  Format format;
  const char* name;
  int columns, bytes;
  std::vector<int> halves;
  float scale;
};

const std::vector<Block>& blocks() {
  static const std::vector<Block> table = {
      {Format::q4_0, "q4_0", 32, 18, {0}, 0.1F},
      {Format::q4_1, "q4_1", 32, 20, {0, 2}, 0.1F},
      {Format::q5_0, "q5_0", 32, 22, {0}, 0.1F},
      {Format::q5_1, "q5_1", 32, 24, {0, 2}, 0.1F},
      {Format::q8_0, "q8_0", 32, 34, {0}, 0.01F},
      {Format::q2_k, "q2_k", 256, 84, {80, 82}, 0.05F},
      {Format::q3_k, "q3_k", 256, 110, {108}, 0.01F},
      {Format::q4_k, "q4_k", 256, 144, {0, 2}, 0.003F},
      {Format::q5_k, "q5_k", 256, 176, {0, 2}, 0.002F},
      {Format::q6_k, "q6_k", 256, 210, {208}, 0.0005F},
      {Format::iq4_nl, "iq4_nl", 32, 18, {0}, 0.01F},
      {Format::iq4_xs, "iq4_xs", 256, 136, {0}, 0.0005F},
      {Format::gguf_mxfp4, "gguf_mxfp4", 32, 17, {}, 0.0F},
  };
  return table;
}

const Block* find_block(Format format) {
  for (const Block& block : blocks()) {
    if (block.format == format) return &block;
  }
  return nullptr;
}

using ByteVector = std::vector<std::byte>;

ByteVector random_bytes(int64_t n, std::mt19937& random) {
  ByteVector bytes(static_cast<size_t>(n));
  for (std::byte& b : bytes) b = static_cast<std::byte>(random() & 255);
  return bytes;
}

/// n floats as `type`.
ByteVector encode(const std::vector<float>& values, Format type) {
  const size_t size = type == Format::f32 ? 4 : 2;
  ByteVector out(values.size() * size);
  const KvType kv = type == Format::f32   ? KvType::f32
                    : type == Format::f16 ? KvType::f16
                                          : KvType::bf16;
  portable_table.store_kv(values.data(), static_cast<int64_t>(values.size()), kv, out.data());
  return out;
}

/// The scale bytes of MLX's float formats: E8M0 or E4M3 of moderate size.
ByteVector scale_bytes(Format format, int64_t n, std::mt19937& random) {
  ByteVector bytes(static_cast<size_t>(n));
  for (std::byte& b : bytes) {
    const unsigned code = format == Format::nvfp4 ? 0x28 + random() % 16 : 122 + random() % 5;
    b = static_cast<std::byte>(format == Format::mxfp8 ? code - 5 : code);
  }
  return bytes;
}

std::unique_ptr<std::byte[]> spaced(std::span<const std::byte> rows, int64_t n_rows,
                                    int64_t row_bytes, int64_t stride, const std::byte** begin) {
  const int64_t offset = 1;
  const auto size = static_cast<size_t>(offset + (n_rows - 1) * stride + row_bytes);
  std::unique_ptr<std::byte[]> bytes(new std::byte[size]);
  std::memset(bytes.get(), 0xa5, size);
  for (int64_t r = 0; r < n_rows; ++r) {
    std::memcpy(bytes.get() + offset + r * stride, rows.data() + r * row_bytes,
                static_cast<size_t>(row_bytes));
  }
  *begin = bytes.get() + offset;
  return bytes;
}

}  // namespace

void StoredMatrix::place(std::span<const std::byte> data_rows,
                         std::span<const std::byte> scale_rows,
                         std::span<const std::byte> bias_rows) {
  const int64_t row_bytes = static_cast<int64_t>(data_rows.size()) / matrix.rows;
  const int64_t scale_bytes = static_cast<int64_t>(scale_rows.size()) / matrix.rows;
  matrix.row_bytes = row_bytes + 3;
  matrix.scale_row_bytes = scale_bytes + 5;
  data = spaced(data_rows, matrix.rows, row_bytes, matrix.row_bytes, &matrix.data);
  if (!scale_rows.empty()) {
    scales = spaced(scale_rows, matrix.rows, scale_bytes, matrix.scale_row_bytes, &matrix.scales);
  }
  if (!bias_rows.empty()) {
    biases = spaced(bias_rows, matrix.rows, scale_bytes, matrix.scale_row_bytes, &matrix.biases);
  }
}

const std::vector<Storage>& all_storages() {
  static const std::vector<Storage> storages = [] {
    std::vector<Storage> all = {{"f32", Format::f32}, {"f16", Format::f16}, {"bf16", Format::bf16}};
    all.push_back({"fp8", Format::fp8, Format::f32, 8, 64});
    for (const int bits : {2, 3, 4, 5, 6, 8}) {
      for (const int group_size : {32, 64, 128}) {
        const Format scale = group_size == 32   ? Format::f32
                             : group_size == 64 ? Format::bf16
                                                : Format::f16;
        all.push_back({"affine" + std::to_string(bits) + "_g" + std::to_string(group_size),
                       Format::affine, scale, bits, group_size});
      }
    }
    all.push_back({"mxfp4", Format::mxfp4, Format::f32, 4, 32});
    all.push_back({"nvfp4", Format::nvfp4, Format::f32, 4, 16, 0.7F});
    all.push_back({"mxfp8", Format::mxfp8, Format::f32, 8, 32});
    all.push_back({"codes8_g16", Format::codes8, Format::f32, 8, 16});
    all.push_back({"codes8_g32", Format::codes8, Format::f32, 8, 32});
    for (const Block& block : blocks()) all.push_back({block.name, block.format});
    return all;
  }();
  return storages;
}

std::vector<float> random_floats(int64_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

StoredMatrix random_matrix(const Storage& storage, int64_t rows, int64_t cols,
                           std::mt19937& random) {
  StoredMatrix stored;
  stored.name = storage.name;
  Matrix& m = stored.matrix;
  m.format = storage.format;
  m.scale_type = storage.scale_type;
  m.bits = static_cast<uint8_t>(storage.bits);
  m.group_size = storage.group_size;
  m.global_scale = storage.global_scale;
  m.rows = rows;
  m.cols = cols;

  ByteVector data, scales, biases;
  if (const Block* block = find_block(m.format)) {
    const int64_t n_blocks = rows * cols / block->columns;
    data = random_bytes(n_blocks * block->bytes, random);
    for (int64_t b = 0; b < n_blocks; ++b) {
      std::byte* at = data.data() + b * block->bytes;
      for (const int half : block->halves) {
        const ByteVector scale =
            encode({block->scale * (1.0F + random_floats(1, random)[0] / 4)}, Format::f16);
        std::memcpy(at + half, scale.data(), 2);
      }
      if (block->halves.empty()) at[0] = static_cast<std::byte>(122 + random() % 5);
    }
  } else if (m.format == Format::affine) {
    data = random_bytes(rows * cols * m.bits / 8, random);
    std::vector<float> s = random_floats(rows * cols / m.group_size, random), b = s;
    const float step = 2.0F / static_cast<float>(1 << m.bits);
    for (size_t i = 0; i < s.size(); ++i) {
      s[i] *= step;
      b[i] = -s[i] / step + 0.1F;
    }
    scales = encode(s, m.scale_type);
    biases = encode(b, m.scale_type);
  } else if (m.group_size > 0) {
    data = random_bytes(rows * cols * m.bits / 8, random);
    const bool is_fp8 = m.format == Format::fp8;
    if (m.format == Format::mxfp8 || is_fp8) {  // exponents up to 2^3, no NaN
      for (std::byte& b : data) b &= std::byte{0xd7};
    }
    const bool has_floats = is_fp8 || m.format == Format::codes8;
    if (m.format == Format::codes8) {  // of 1 to 127
      for (std::byte& b : data) b = std::max(b & std::byte{0x7f}, std::byte{1});
    }
    const int64_t n_scales = rows * (cols / m.group_size);
    scales = has_floats ? encode(random_floats(n_scales, random), Format::f32)
                        : scale_bytes(m.format, n_scales, random);
  } else {
    data = encode(random_floats(rows * cols, random), m.format);
  }
  stored.place(data, scales, biases);
  return stored;
}

}  // namespace sluice::kernels
