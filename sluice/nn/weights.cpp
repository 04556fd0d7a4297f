#include "sluice/nn/weights.h"

#include <fmt/ranges.h>

#include <array>
#include <bit>
#include <cstring>

#include "sluice/base/error.h"
#include "sluice/kernels/kernels.h"

namespace sluice::nn {
namespace {

using io::TensorType;
using kernels::Format;

/// The kernel format of a tensor that needs no scales beside it; nullopt: not a weight we can multiply with.
std::optional<Format> plain_format(TensorType type) {
  switch (type) {
    case TensorType::f32:
      return Format::f32;
    case TensorType::f16:
      return Format::f16;
    case TensorType::bf16:
      return Format::bf16;
    case TensorType::q4_0:
      return Format::q4_0;
    case TensorType::q4_1:
      return Format::q4_1;
    case TensorType::q5_0:
      return Format::q5_0;
    case TensorType::q5_1:
      return Format::q5_1;
    case TensorType::q8_0:
      return Format::q8_0;
    case TensorType::q2_k:
      return Format::q2_k;
    case TensorType::q3_k:
      return Format::q3_k;
    case TensorType::q4_k:
      return Format::q4_k;
    case TensorType::q5_k:
      return Format::q5_k;
    case TensorType::q6_k:
      return Format::q6_k;
    case TensorType::iq4_nl:
      return Format::iq4_nl;
    case TensorType::iq4_xs:
      return Format::iq4_xs;
    case TensorType::mxfp4:
      return Format::gguf_mxfp4;
    default:
      return std::nullopt;
  }
}

[[noreturn]] void wrong_shape(const StoredMatrix& stored, const io::TensorInfo& tensor,
                              int64_t rows, int64_t cols) {
  fail(ErrorKind::bad_model, "{}: {} is [{}], config needs [{}, {}]{}", stored.path,
       io::info(tensor.type).name, fmt::join(tensor.shape, ", "), rows, cols,
       stored.expert >= 0 ? " for each expert" : "");
}

/// Number of matrix rows stored in one slice, after checking the leading dimensions.
int64_t stored_rows(const StoredMatrix& stored, const io::TensorInfo& tensor) {
  const size_t leading = stored.expert >= 0 ? 1 : 0;
  if (tensor.shape.size() < leading + 2 || (leading == 1 && tensor.shape[0] <= stored.expert)) {
    fail(ErrorKind::bad_model, "{}: is [{}], a matrix{} was expected", stored.path,
         fmt::join(tensor.shape, ", "), leading == 1 ? " per expert" : "");
  }
  return tensor.shape[leading];
}

/// Elements per row: everything after the row dimension ([.., K/32, 16] blocks count as one run).
int64_t row_elements(const StoredMatrix& stored, const io::TensorInfo& tensor) {
  int64_t n = 1;
  for (size_t i = stored.expert >= 0 ? 2 : 1; i < tensor.shape.size(); ++i) n *= tensor.shape[i];
  return n;
}

residency::FilePlace place(const StoredMatrix& stored, const io::TensorInfo& tensor) {
  uint64_t offset = tensor.offset;
  if (stored.expert >= 0) {
    offset += tensor.bytes / static_cast<uint64_t>(tensor.shape[0]) *
              static_cast<uint64_t>(stored.expert);
  }
  return {tensor.file, offset};
}

residency::Weight finish(const StoredMatrix& stored, residency::Weight weight, int64_t rows) {
  weight.name = stored.path;
  if (stored.row_step == 1 && stored.row_begin == 0) return weight;
  return weight.select_rows(stored.row_begin, rows, stored.row_step);
}

residency::Weight bind_plain(const StoredMatrix& stored, int64_t rows, int64_t cols) {
  const io::TensorInfo& tensor = *stored.weight;
  const auto format = plain_format(tensor.type);
  if (!format) {
    fail(ErrorKind::unsupported, "{}: weights of type {} are not supported", stored.path,
         io::info(tensor.type).name);
  }
  const int64_t file_rows = stored_rows(stored, tensor);
  if (file_rows != rows * stored.row_step || row_elements(stored, tensor) != cols) {
    wrong_shape(stored, tensor, rows, cols);
  }
  residency::Weight weight;
  weight.matrix.format = *format;
  weight.matrix.rows = file_rows;
  weight.matrix.cols = cols;
  weight.matrix.row_bytes =
      cols / io::info(tensor.type).block_elements * io::info(tensor.type).block_bytes;
  weight.data = place(stored, tensor);
  return finish(stored, std::move(weight), rows);
}

/// MLX's packed formats. bits and group size follow from the shapes, given the columns a layer needs;
/// what the config says must agree.
residency::Weight bind_quantized(const StoredMatrix& stored, int64_t rows, int64_t cols,
                                 const std::optional<QuantizationConfig>& config) {
  const io::TensorInfo& packed = *stored.weight;
  const io::TensorInfo& scales = *stored.scales;
  const int64_t element_bits = 8 * io::info(packed.type).block_bytes;
  const int64_t row_bits = row_elements(stored, packed) * element_bits;
  const int64_t groups = row_elements(stored, scales);
  const int64_t file_rows = stored_rows(stored, packed);
  if ((packed.type != TensorType::u32 && packed.type != TensorType::u8) ||
      file_rows != rows * stored.row_step || stored_rows(stored, scales) != file_rows ||
      cols <= 0 || row_bits % cols != 0 || groups <= 0 || cols % groups != 0) {
    wrong_shape(stored, packed, rows, cols);
  }
  const int64_t bits = row_bits / cols;
  const int64_t group_size = cols / groups;
  residency::Weight weight;
  kernels::Matrix& m = weight.matrix;
  std::string_view mode;
  if (scales.type == TensorType::u8) {
    mode = bits == 8 ? "mxfp8" : group_size == 16 ? "nvfp4" : "mxfp4";
    m.format = bits == 8 ? Format::mxfp8 : group_size == 16 ? Format::nvfp4 : Format::mxfp4;
    const bool known =
        (bits == 8 && group_size == 32) || (bits == 4 && (group_size == 16 || group_size == 32));
    if (!known) {
      fail(ErrorKind::unsupported,
           "{}: {} bits in groups of {} with 8-bit scales is no known format", stored.path, bits,
           group_size);
    }
  } else {
    mode = "affine";
    m.format = Format::affine;
    const auto scale_format = plain_format(scales.type);
    const bool known = bits >= 2 && bits <= 8 && bits != 7 &&
                       (group_size == 32 || group_size == 64 || group_size == 128);
    if (!known || !scale_format || *scale_format > Format::bf16) {
      fail(ErrorKind::unsupported,
           "{}: affine {} bits in groups of {} with {} scales is not supported", stored.path, bits,
           group_size, io::info(scales.type).name);
    }
    if (stored.biases == nullptr || stored.biases->type != scales.type ||
        stored.biases->shape != scales.shape) {
      fail(ErrorKind::bad_model, "{}: affine weights need biases shaped like their scales [{}]",
           stored.path, fmt::join(scales.shape, ", "));
    }
    m.scale_type = *scale_format;
    weight.biases = place(stored, *stored.biases);
  }
  if (config &&
      (config->bits != bits || config->group_size != group_size || config->mode != mode)) {
    fail(ErrorKind::bad_model,
         "{}: config.json says {} {} bits in groups of {}, the tensors hold {} {} bits in groups "
         "of {}",
         stored.path, config->mode, config->bits, config->group_size, mode, bits, group_size);
  }
  m.bits = static_cast<uint8_t>(bits);
  m.group_size = static_cast<int32_t>(group_size);
  m.rows = file_rows;
  m.cols = cols;
  m.row_bytes = row_bits / 8;
  m.scale_row_bytes = groups * io::info(scales.type).block_bytes;
  weight.data = place(stored, packed);
  weight.scales = place(stored, scales);
  return finish(stored, std::move(weight), rows);
}

residency::Weight bind(const WeightTable& table, const StoredMatrix& stored, int64_t rows,
                       int64_t cols) {
  if (stored.scales == nullptr) return bind_plain(stored, rows, cols);
  return bind_quantized(stored, rows, cols,
                        table.quantization ? table.quantization(stored.path) : std::nullopt);
}

}  // namespace

Weights Weights::operator[](std::string_view name) const {
  return Weights(*table_, path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name));
}

bool Weights::has_vector(std::string_view name) const {
  return table_->vectors.contains(fmt::format("{}.{}", path_, name));
}

residency::Weight Weights::matrix(int64_t rows, int64_t cols) const {
  const auto it = table_->matrices.find(path_);
  if (it == table_->matrices.end()) {
    fail(ErrorKind::bad_model, "{}: missing from the model's files, config needs it as [{}, {}]",
         path_, rows, cols);
  }
  return bind(*table_, it->second, rows, cols);
}

std::vector<residency::Weight> Weights::experts(int64_t n_experts, int64_t rows,
                                                int64_t cols) const {
  const auto it = table_->experts.find(path_);
  const size_t found = it == table_->experts.end() ? 0 : it->second.size();
  if (found != static_cast<size_t>(n_experts)) {
    fail(ErrorKind::bad_model, "{}: the files hold {} experts, config needs {}", path_, found,
         n_experts);
  }
  std::vector<residency::Weight> weights;
  for (const StoredMatrix& stored : it->second)
    weights.push_back(bind(*table_, stored, rows, cols));
  return weights;
}

ops::Vector Weights::read(const StoredVector& stored, int64_t n) const {
  const io::TensorInfo& tensor = *stored.tensor;
  const bool sliced = stored.expert >= 0;
  const bool shaped = tensor.shape.size() == (sliced ? 2U : 1U) &&
                      tensor.shape.back() == n * stored.step &&
                      (!sliced || stored.expert < tensor.shape[0]);
  const auto format = plain_format(tensor.type);
  if (!shaped || !format || *format > Format::bf16) {
    fail(ErrorKind::bad_model, "{}: is {} [{}], config needs {} floating-point values", tensor.name,
         io::info(tensor.type).name, fmt::join(tensor.shape, ", "), n);
  }
  kernels::Matrix row;
  row.format = *format;
  row.rows = 1;
  row.cols = tensor.shape.back();
  row.row_bytes = row.cols * io::info(tensor.type).block_bytes;
  row.data = table_->store->bytes(tensor).data() + (sliced ? stored.expert * row.row_bytes : 0);
  std::vector<float> all(static_cast<size_t>(row.cols));
  kernels::kernels().dequantize_row(row, 0, all.data());
  if (stored.step == 1) return std::make_shared<const std::vector<float>>(std::move(all));
  std::vector<float> some(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    some[static_cast<size_t>(i)] = all[static_cast<size_t>(stored.begin + i * stored.step)];
  }
  return std::make_shared<const std::vector<float>>(std::move(some));
}

ops::Vector Weights::optional_vector(std::string_view name, int64_t n) const {
  const auto it = table_->vectors.find(fmt::format("{}.{}", path_, name));
  return it == table_->vectors.end() ? nullptr : read(it->second, n);
}

ops::Vector Weights::vector(std::string_view name, int64_t n) const {
  ops::Vector values = optional_vector(name, n);
  if (!values) {
    fail(ErrorKind::bad_model, "{}.{}: missing from the model's files, config needs [{}]", path_,
         name, n);
  }
  return values;
}

int64_t Weights::vector_size(std::string_view name) const {
  const auto it = table_->vectors.find(fmt::format("{}.{}", path_, name));
  if (it == table_->vectors.end() || it->second.tensor->shape.size() != 1) return 0;
  return it->second.tensor->shape[0];
}

std::vector<ops::Vector> Weights::optional_expert_vectors(std::string_view name, int64_t n_experts,
                                                          int64_t n) const {
  const auto it = table_->expert_vectors.find(fmt::format("{}.{}", path_, name));
  if (it == table_->expert_vectors.end()) return {};
  if (it->second.size() != static_cast<size_t>(n_experts)) {
    fail(ErrorKind::bad_model, "{}.{}: the files hold {} experts, config needs {}", path_, name,
         it->second.size(), n_experts);
  }
  std::vector<ops::Vector> vectors;
  for (const StoredVector& stored : it->second) vectors.push_back(read(stored, n));
  return vectors;
}

}  // namespace sluice::nn
