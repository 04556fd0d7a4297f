#include "sluice/nn/bind.h"

#include "sluice/base/error.h"

namespace sluice::nn {

using io::TensorType;
using kernels::Format;

std::optional<Format> plain_format(TensorType type) {
  switch (type) {
#define SLUICE_CASE(name, format, ...) \
  case TensorType::name:               \
    return Format::format;
    SLUICE_FLOAT_TYPES(SLUICE_CASE)
    SLUICE_GGUF_BLOCKS(SLUICE_CASE)
#undef SLUICE_CASE
    default:
      return std::nullopt;
  }
}

namespace {

[[noreturn]] void wrong_shape(const StoredMatrix& stored, const io::TensorInfo& tensor,
                              int64_t rows, int64_t cols) {
  const auto& shape = tensor.shape;
  if (shape.size() >= 2 && rows != cols && !stored.is_transposed &&
      shape[shape.size() - 2] == cols && shape.back() == rows) {
    fail(ErrorKind::unsupported,
         "{}: is {} {}, which is [{}, {}] transposed and not supported; convert it with "
         "mlx_lm.convert, or use a GGUF",
         stored.where, io::info(tensor.type).name, io::shape_text(shape), rows, cols);
  }
  fail(ErrorKind::bad_model, "{}: is {} {}, config needs [{}, {}]{}{}", stored.where,
       io::info(tensor.type).name, io::shape_text(tensor.shape), stored.is_transposed ? cols : rows,
       stored.is_transposed ? rows : cols,
       stored.n_below > 0 ? fmt::format(" {} times", stored.n_below) : "",
       stored.expert >= 0 ? " for each expert" : "");
}

}  // namespace

/// [.., K/32, 16] blocks count as one run. A vector is one row.
StoredRows rows_of(const StoredMatrix& stored, const io::TensorInfo& tensor) {
  const auto& shape = tensor.shape;
  const size_t leading = stored.expert >= 0 && stored.n_below == 0 ? 1 : 0;
  if (stored.n_below > 0 && shape.size() == 2) return {shape[0] / stored.n_below, shape[1]};
  if (leading == 0 && shape.size() == 1) return {1, shape[0]};
  if (shape.size() < leading + 2 || (leading == 1 && shape[0] <= stored.expert)) return {};
  StoredRows rows{shape[leading], 1};
  if (stored.is_stack) rows.n *= shape[1];
  for (size_t i = leading + (stored.is_stack ? 2 : 1); i < shape.size(); ++i)
    rows.elements *= shape[i];
  return rows;
}

residency::FilePlace place_of(const StoredMatrix& stored, const io::TensorInfo& tensor) {
  uint64_t offset = tensor.offset;
  if (stored.expert >= 0) {
    const int64_t n = stored.n_below > 0 ? stored.n_below : tensor.shape[0];
    offset += tensor.bytes / static_cast<uint64_t>(n) * static_cast<uint64_t>(stored.expert);
  }
  return {tensor.file, offset};
}

namespace {

residency::Weight bind_plain(const StoredMatrix& stored, int64_t rows, int64_t cols) {
  const io::TensorInfo& tensor = *stored.weight;
  const auto format = plain_format(tensor.type);
  if (!format || (stored.is_transposed && *format > Format::bf16)) {
    fail(ErrorKind::unsupported, "{}: weights of type {} are not supported{}", stored.where,
         io::info(tensor.type).name, stored.is_transposed ? " where they are transposed" : "");
  }
  const StoredRows found = rows_of(stored, tensor);
  const bool is_it = stored.is_transposed ? found.n == cols && found.elements == rows
                                          : found.n == rows && found.elements == cols;
  if (!is_it) wrong_shape(stored, tensor, rows, cols);
  residency::Weight weight;
  if (stored.is_transposed) {
    weight.matrix.packing.codes = kernels::Packing::Codes::transposed;
    weight.matrix.packing.all_rows = rows;
  }
  weight.matrix.format = *format;
  weight.matrix.rows = rows;
  weight.matrix.cols = cols;
  weight.matrix.row_bytes =
      cols / io::info(tensor.type).block_elements * io::info(tensor.type).block_bytes;
  weight.data = place_of(stored, tensor);
  return weight;
}

/// What bits and group size make of MLX's packed integers with 8-bit scales.
struct ScaledFormat {
  std::string_view mode;
  Format format;
};

ScaledFormat byte_scaled(const StoredMatrix& stored, int64_t bits, int64_t group_size) {
  if (bits == 8 && group_size == 32) return {"mxfp8", Format::mxfp8};
  if (bits == 4 && group_size == 32) return {"mxfp4", Format::mxfp4};
  if (bits == 4 && group_size == 16) return {"nvfp4", Format::nvfp4};
  fail(ErrorKind::unsupported, "{}: {} bits in groups of {} with 8-bit scales is no known format",
       stored.where, bits, group_size);
}

/// The type of an affine matrix's scales and biases.
Format affine_scales(const StoredMatrix& stored, int64_t bits, int64_t group_size) {
  const io::TensorInfo& scales = *stored.scales;
  const auto format = plain_format(scales.type);
  const bool known = bits >= 2 && bits <= 8 && bits != 7 &&
                     (group_size == 32 || group_size == 64 || group_size == 128);
  if (!known || !format || *format > Format::bf16) {
    fail(ErrorKind::unsupported,
         "{}: affine {} bits in groups of {} with {} scales is not supported", stored.where, bits,
         group_size, io::info(scales.type).name);
  }
  if (stored.biases == nullptr || stored.biases->type != scales.type ||
      stored.biases->shape != scales.shape) {
    fail(ErrorKind::bad_model, "{}: affine weights need biases shaped like their scales {}",
         stored.where, io::shape_text(scales.shape));
  }
  return *format;
}

/// MLX's packed formats. bits and group size follow from the shapes, given the columns a layer
/// needs; what the config says must agree.
residency::Weight bind_quantized(const StoredMatrix& stored, const Binding& wanted) {
  constexpr float kWhole = 6 * 448;  // MLX's numbers are the largest weights, of E2M1 times E4M3
  const auto& [rows, cols, config, published, store] = wanted;
  const io::TensorInfo& packed = *stored.weight;
  const io::TensorInfo& scales = *stored.scales;
  const StoredRows found = rows_of(stored, packed), groups = rows_of(stored, scales);
  const int64_t row_bits = found.elements * 8 * io::info(packed.type).block_bytes;
  if ((packed.type != TensorType::u32 && packed.type != TensorType::u8) || found.n != rows ||
      groups.n != rows || cols <= 0 || row_bits % cols != 0 || groups.elements <= 0 ||
      cols % groups.elements != 0) {
    wrong_shape(stored, packed, rows, cols);
  }
  const int64_t bits = row_bits / cols;
  const int64_t group_size = cols / groups.elements;
  residency::Weight weight;
  kernels::Matrix& m = weight.matrix;
  ScaledFormat scaled{"affine", Format::affine};
  if (scales.type == TensorType::u8) {
    scaled = byte_scaled(stored, bits, group_size);
  } else {
    m.scale_type = affine_scales(stored, bits, group_size);
    weight.biases = place_of(stored, *stored.biases);
  }
  if (config &&
      (config->bits != bits || config->group_size != group_size || config->mode != scaled.mode)) {
    fail(ErrorKind::bad_model,
         "{}: config.json says {} {} bits in groups of {}, the tensors hold {} {} bits in groups "
         "of {}",
         stored.where, config->mode, config->bits, config->group_size, scaled.mode, bits,
         group_size);
  }
  if (stored.global != nullptr) {
    if (scaled.format != Format::nvfp4)
      fail(ErrorKind::bad_model,
           "{}: has a number beside it that multiplies all scales, which only nvfp4 has, not {}",
           stored.where, scaled.mode);
    m.global_scale = global_scale(stored, wanted) / kWhole;
  }
  m.format = scaled.format;
  m.bits = static_cast<uint8_t>(bits);
  m.group_size = static_cast<int32_t>(group_size);
  m.rows = rows;
  m.cols = cols;
  m.row_bytes = row_bits / 8;
  m.scale_row_bytes = groups.elements * io::info(scales.type).block_bytes;
  weight.data = place_of(stored, packed);
  weight.scales = place_of(stored, scales);
  return weight;
}

}  // namespace

residency::Weight bind_matrix(const StoredMatrix& stored, const Binding& wanted) {
  if (auto published = bind_published(stored, wanted)) return *std::move(published);
  if (stored.scales != nullptr) return bind_quantized(stored, wanted);
  if (stored.global != nullptr)
    fail(ErrorKind::bad_model,
         "{}: has a number beside it that multiplies its scales, and no scales", stored.where);
  return bind_plain(stored, wanted.rows, wanted.cols);
}

}  // namespace sluice::nn
