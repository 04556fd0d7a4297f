// Matrices as Hugging Face's checkpoints hold them that others than MLX quantized: in place where a kernel reads them so, else
// packed (kernels/strips.h). What each of the tensors must be follows from the matrix that is wanted.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <initializer_list>

#include "sluice/base/error.h"
#include "sluice/kernels/kernels.h"
#include "sluice/nn/bind.h"

namespace sluice::nn {
namespace {

using io::TensorInfo;
using io::TensorType;
using kernels::Format;
using kernels::Packing;
using Method = PublishedQuantization::Method;
using Scheme = PublishedQuantization::Scheme;

/// A matrix that is being bound, with what errors need.
struct Binder {
  const StoredMatrix& stored;
  const Binding& wanted;
  residency::Weight weight = {};

  const PublishedQuantization& published() const { return *wanted.published; }
  kernels::Matrix& matrix() { return weight.matrix; }

  /// Throws Error(bad_model) unless the tensor is there, of this type (none: any) and shape.
  void require(const TensorInfo* tensor, std::string_view role, std::optional<TensorType> type,
               std::initializer_list<int64_t> shape) const;
  void require_scales(std::initializer_list<int64_t> shape);
  /// Throws Error(bad_model) where config.json says something else.
  void check_scheme(Scheme got, int64_t n_groups) const;
  int64_t group_size(int64_t n_groups) const;
  void check_columns(int64_t multiple) const;
  void set_groups(int64_t n_groups);
  /// What all packed matrices have.
  void pack(Packing::Codes codes, Format format, int64_t bits);
  void set_zeros(Packing::Zeros zeros);
  float global_scale() const;
  /// The first of the scales.
  float only_scale() const;
};

void Binder::require(const TensorInfo* tensor, std::string_view role,
                     std::optional<TensorType> type, std::initializer_list<int64_t> shape) const {
  if (tensor == nullptr) {
    fail(ErrorKind::bad_model, "{}: its {} are missing from the model's files", stored.where, role);
  }
  if ((!type || tensor->type == *type) && std::ranges::equal(tensor->shape, shape)) return;
  fail(ErrorKind::bad_model, "{}: its {} are {} {}, wanted {} {}", stored.where, role,
       io::info(tensor->type).name, io::shape_text(tensor->shape),
       type ? io::info(*type).name : "floats", io::shape_text(std::vector<int64_t>(shape)));
}

void Binder::require_scales(std::initializer_list<int64_t> shape) {
  require(stored.scales, "scales", std::nullopt, shape);
  const auto format = plain_format(stored.scales->type);
  if (!format || *format > Format::bf16) {
    fail(ErrorKind::unsupported, "{}: scales of type {} are not supported", stored.where,
         io::info(stored.scales->type).name);
  }
  matrix().scale_type = *format;
}

/// How many columns of a row share a scale: as config.json says, or as the shapes do.
int64_t Binder::group_size(int64_t n_groups) const {
  if (n_groups == 1) return wanted.cols;
  for (const Scheme& scheme : published().schemes) {
    const int64_t size = scheme.group_size;
    if (size > 0 && (wanted.cols + size - 1) / size == n_groups) return size;
  }
  return n_groups > 0 && wanted.cols % n_groups == 0 ? wanted.cols / n_groups : 0;
}

void Binder::check_columns(int64_t multiple) const {
  if (wanted.cols % multiple == 0) return;
  fail(ErrorKind::unsupported, "{}: has {} columns, packed ones are read by {}", stored.where,
       wanted.cols, multiple);
}

void Binder::check_scheme(Scheme got, int64_t n_groups) const {
  const auto is_it = [&](const Scheme& told) {
    return told.is_float == got.is_float && told.bits == got.bits &&
           (told.group_size == 0 || told.group_size == got.group_size ||
            (n_groups == 1 && (told.group_size < 0 || told.group_size >= wanted.cols)));
  };
  const auto& schemes = published().schemes;
  if (schemes.empty() || std::ranges::any_of(schemes, is_it)) return;
  fail(ErrorKind::bad_model,
       "{}: the tensors hold {} of {} bits in groups of {}, config.json says {} of {} bits in "
       "groups of {}",
       stored.where, got.is_float ? "floats" : "integers", got.bits, got.group_size,
       schemes[0].is_float ? "floats" : "integers", schemes[0].bits, schemes[0].group_size);
}

void Binder::set_groups(int64_t n_groups) {
  const int64_t size = group_size(n_groups);
  const bool is_float = matrix().format == Format::fp8;
  const bool known = is_float ? size >= 16 && std::has_single_bit(static_cast<uint64_t>(size))
                              : size >= 32 && size % 32 == 0;
  if (!known && (n_groups != 1 || size <= 0)) {
    fail(ErrorKind::unsupported, "{}: {} groups of a row's {} columns: groups of {} are not read",
         stored.where, n_groups, wanted.cols, size);
  }
  check_scheme({is_float, matrix().bits, size}, n_groups);
  matrix().group_size = static_cast<int32_t>(size);
}

void Binder::pack(Packing::Codes codes, Format format, int64_t bits) {
  kernels::Matrix& m = matrix();
  m.packing.codes = codes;
  m.packing.all_rows = wanted.rows;
  m.format = format;
  m.bits = static_cast<uint8_t>(bits);
  m.row_bytes = wanted.cols * bits / 8;
  const bool by_row = codes != Packing::Codes::columns && codes != Packing::Codes::awq;
  m.packing.scales_by_group = !by_row;
  m.packing.scale_bytes = static_cast<int64_t>(stored.scales->bytes);
  const auto& shape = stored.scales->shape;
  const int64_t side_by_side = shape.size() == 2 ? shape[1] : 1;
  m.scale_row_bytes = side_by_side * io::info(stored.scales->type).block_bytes;
  weight.data = place_of(stored, *stored.weight);
  weight.scales = place_of(stored, *stored.scales);
}

void Binder::set_zeros(Packing::Zeros zeros) {
  matrix().packing.zeros = zeros;
  matrix().packing.zero_bytes = static_cast<int64_t>(stored.biases->bytes);
  weight.biases = place_of(stored, *stored.biases);
}

/// Gate and up in one matrix have one each: who takes the halves apart multiplies them, here it is 1.
float Binder::global_scale() const {
  const TensorInfo* const global = stored.global;
  const bool of_halves = stored.expert >= 0 && stored.weight->name.ends_with("gate_up_proj") &&
                         published().method == Method::modelopt && global != nullptr &&
                         global->type == TensorType::f32 &&
                         global->shape == std::vector<int64_t>{stored.weight->shape[0], 2};
  return of_halves ? 1.0F : nn::global_scale(stored, wanted);
}

float Binder::only_scale() const {
  kernels::Matrix one;
  one.format = weight.matrix.scale_type;
  one.rows = one.cols = 1;
  one.data = wanted.store->bytes(*stored.scales).data();
  float scale = 0;
  kernels::kernels().dequantize_row(one, 0, &scale);
  return scale;
}

/// Which group each column is in, where it is not column / group_size: GPTQ's activation order. Weights are floats then,
/// as no group's columns lie together.
void set_order(Binder& b, int64_t n_groups) {
  if (b.stored.groups == nullptr) {
    if (!b.published().needs_order) return;
    fail(ErrorKind::bad_model,
         "{}: was quantized in the order of activations, its g_idx is missing", b.stored.where);
  }
  b.require(b.stored.groups, "g_idx", TensorType::i32, {b.wanted.cols});
  if (!b.wanted.store->has_weights()) return;
  std::vector<int32_t> groups(static_cast<size_t>(b.wanted.cols));
  std::memcpy(groups.data(), b.wanted.store->bytes(*b.stored.groups).data(), groups.size() * 4);
  bool in_order = true;
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i] < 0 || groups[i] >= n_groups) {
      fail(ErrorKind::bad_model, "{}: g_idx of column {} is {}, there are {} groups",
           b.stored.where, i, groups[i], n_groups);
    }
    in_order = in_order && groups[i] == static_cast<int64_t>(i) / b.matrix().group_size;
  }
  if (in_order) return;
  b.weight.group_of = std::make_shared<const std::vector<int32_t>>(std::move(groups));
  b.matrix().packing.group_of = b.weight.group_of->data();
  b.matrix().format = Format::f32;
}

/// Bits of a code, of which `words` words hold `codes`. Throws unless it is one of GPTQ's.
int64_t bits_of(const Binder& b, int64_t words, int64_t codes) {
  const int64_t bits = codes > 0 && words * 32 % codes == 0 ? words * 32 / codes : 0;
  if (bits == 2 || bits == 3 || bits == 4 || bits == 8) return bits;
  fail(ErrorKind::bad_model, "{}: is {}, config needs [{}, {}] packed in 2, 3, 4 or 8 bits",
       b.stored.where, io::shape_text(b.stored.weight->shape), b.wanted.rows, b.wanted.cols);
}

/// [cols * bits / 32, rows] words, or AWQ's [cols, rows / 8]; scales and zeros by group.
void bind_columns(Binder& b) {
  const auto& [rows, cols, told, published, store] = b.wanted;
  const bool is_awq = published->method == Method::awq;
  const auto& shape = b.stored.weight->shape;
  const int64_t bits = is_awq || shape.empty() ? 4 : bits_of(b, shape[0], cols);
  if (rows * bits % 32 != 0) {
    fail(ErrorKind::unsupported, "{}: {} rows of {} bits are no whole words", b.stored.where, rows,
         bits);
  }
  const int64_t row_words = rows * bits / 32;
  if (is_awq) {
    b.require(b.stored.weight, "codes", TensorType::i32, {cols, row_words});
  } else {
    b.require(b.stored.weight, "codes", TensorType::i32, {cols * bits / 32, rows});
  }
  b.check_columns(32);
  const int64_t n_groups =
      b.stored.scales == nullptr || b.stored.scales->shape.empty() ? 0 : b.stored.scales->shape[0];
  b.require_scales({n_groups, rows});
  b.require(b.stored.biases, "zeros", TensorType::i32, {n_groups, row_words});
  b.pack(is_awq ? Packing::Codes::awq : Packing::Codes::columns, Format::affine, bits);
  b.set_zeros(is_awq ? Packing::Zeros::awq : Packing::Zeros::along);
  b.matrix().packing.zero = published->zeros_less_one ? 1 : 0;
  b.set_groups(n_groups);
  if (!is_awq) set_order(b, n_groups);
}

/// Of scales [rows, groups], or one for each row, or one for all.
int64_t row_groups(Binder& b) {
  if (b.stored.scales == nullptr) b.require(nullptr, "scales", std::nullopt, {});
  const auto& shape = b.stored.scales->shape;
  const int64_t n = shape.size() == 2 ? shape[1] : 1;
  if (b.stored.scales->bytes ==
      static_cast<uint64_t>(io::info(b.stored.scales->type).block_bytes)) {
    b.matrix().packing.rows_per_scale = b.wanted.rows;
  } else if (shape.size() == 1) {
    return b.require_scales({b.wanted.rows}), 1;
  } else {
    return b.require_scales({b.wanted.rows, n}), n;
  }
  const auto format = plain_format(b.stored.scales->type);
  b.matrix().scale_type = format.value_or(Format::f32);
  if (!format || *format > Format::bf16) b.require(b.stored.scales, "scales", TensorType::f32, {1});
  return 1;
}

/// compressed-tensors' pack-quantized: codes plus 2^(bits - 1) in words along a row.
void bind_packed_rows(Binder& b) {
  const int64_t rows = b.wanted.rows, cols = b.wanted.cols;
  const auto& shape = b.stored.weight->shape;
  const int64_t bits = bits_of(b, shape.empty() ? 0 : shape.back(), cols);
  b.check_columns(32);
  b.require(b.stored.weight, "codes", TensorType::i32, {rows, cols * bits / 32});
  if (bits == 3) fail(ErrorKind::unsupported, "{}: 3 bits are not supported", b.stored.where);
  const int64_t n_groups = row_groups(b);
  b.pack(Packing::Codes::rows, Format::affine, bits);
  b.matrix().packing.zero = 1 << (bits - 1);
  if (b.stored.biases != nullptr) {
    if (rows * bits % 32 != 0) {
      fail(ErrorKind::unsupported, "{}: zeros of {} rows are no whole words", b.stored.where, rows);
    }
    b.require(b.stored.biases, "zeros", TensorType::i32, {rows * bits / 32, n_groups});
    b.set_zeros(Packing::Zeros::down);
    b.matrix().packing.zero = 0;
  }
  b.set_groups(n_groups);
  set_order(b, n_groups);
}

/// int8 row by row: compressed-tensors' int-quantized, bitsandbytes' 8 bits.
void bind_int8(Binder& b) {
  const bool is_bitsandbytes = b.published().method == Method::bitsandbytes;
  b.require(b.stored.weight, "codes", TensorType::i8, {b.wanted.rows, b.wanted.cols});
  b.check_columns(32);
  const int64_t n_groups = row_groups(b);
  b.pack(Packing::Codes::signed_rows, Format::affine, 8);
  if (is_bitsandbytes) b.matrix().global_scale = 1.0F / 127.0F;  // scales are rows' largest weights
  if (b.stored.biases != nullptr) {
    b.require(b.stored.biases, "zeros", TensorType::i8, {b.wanted.rows, n_groups});
    b.set_zeros(Packing::Zeros::signed_rows);
  }
  b.set_groups(n_groups);
}

bool is_byte_scale(TensorType type) {
  return type == TensorType::u8 || type == TensorType::f8_e8m0;
}

/// E4M3 whose rows share bytes of scales, powers of two, in tiles (DeepSeek-V4.1).
void bind_fp8_tiles(Binder& b) {
  const int64_t rows = b.wanted.rows, cols = b.wanted.cols, block = b.published().block_rows;
  const int64_t size =
      b.group_size(b.stored.scales->shape.size() == 2 ? b.stored.scales->shape[1] : 0);
  b.require(b.stored.weight, "codes", TensorType::f8_e4m3, {rows, cols});
  b.check_columns(32);
  const int64_t n_groups = size > 0 ? (cols + size - 1) / size : 0;
  b.require(b.stored.scales, "scales", b.stored.scales->type,
            {(rows + block - 1) / block, n_groups});
  b.matrix().scale_type = Format::mxfp8;
  b.matrix().packing.rows_per_scale = block;
  b.pack(Packing::Codes::rows, Format::fp8, 8);
  b.set_groups(n_groups);
}

/// E4M3 with a scale per block of rows and columns, per row, or for all.
void bind_fp8(Binder& b) {
  const int64_t rows = b.wanted.rows, cols = b.wanted.cols;
  b.require(b.stored.weight, "codes", TensorType::f8_e4m3, {rows, cols});
  b.check_columns(16);
  const int64_t block = b.published().block_rows;
  int64_t n_groups = 0;
  if (block > 1 && b.stored.scales->shape.size() == 2) {
    n_groups = b.stored.scales->shape[1];
    b.require_scales({(rows + block - 1) / block, n_groups});
    b.matrix().packing.rows_per_scale = block;
  } else {
    n_groups = row_groups(b);
  }
  b.pack(Packing::Codes::rows, Format::fp8, 8);
  b.set_groups(n_groups);
}

/// -1, 0 or 1 in 2 bits, times one number or divided by it.
void bind_quarters(Binder& b) {
  const auto& [rows, cols, told, published, store] = b.wanted;
  if (rows % 4 != 0)
    fail(ErrorKind::unsupported, "{}: {} rows are no whole quarters", b.stored.where, rows);
  b.require(b.stored.weight, "codes", TensorType::u8, {rows / 4, cols});
  b.check_columns(32);
  row_groups(b);
  if (b.matrix().packing.rows_per_scale != rows)
    b.require(b.stored.scales, "scales", b.stored.scales->type, {1});
  b.pack(Packing::Codes::quarters, Format::affine, 2);
  b.matrix().packing.zero = 1;
  b.set_groups(1);
  if (!published->scale_divides || !store->has_weights()) return;
  const float scale = b.only_scale();
  if (!std::isfinite(1 / scale))
    fail(ErrorKind::bad_model, "{}: is divided by {}", b.stored.where, scale);
  b.matrix().global_scale = 1 / scale / scale;
}

/// Elements as MLX has them: two E2M1 a byte, or E4M3; `group_size` columns share a byte-sized scale.
void bind_in_place(Binder& b, Format format, int64_t bits, int64_t group_size) {
  const int64_t rows = b.wanted.rows, cols = b.wanted.cols;
  b.check_columns(group_size);
  const auto require = [&](const TensorInfo* tensor, const char* role, int64_t row) {
    if (b.stored.expert < 0) return b.require(tensor, role, tensor->type, {rows, row});
    b.require(tensor, role, tensor->type, {b.stored.weight->shape[0], rows, row});
  };
  require(b.stored.weight, "codes", cols * bits / 8);
  require(b.stored.scales, "scales", cols / group_size);
  kernels::Matrix& m = b.matrix();
  m.format = format;
  m.bits = static_cast<uint8_t>(bits);
  m.row_bytes = cols * bits / 8;
  m.scale_row_bytes = cols / group_size;
  m.group_size = static_cast<int32_t>(group_size);
  b.weight.data = place_of(b.stored, *b.stored.weight);
  b.weight.scales = place_of(b.stored, *b.stored.scales);
  if (format == Format::nvfp4) {
    const float scale = b.global_scale();  // compressed-tensors stores what scales were divided by
    m.global_scale = b.published().method == Method::compressed_tensors ? 1.0F / scale : scale;
  }
  b.check_scheme({true, bits, group_size}, cols / group_size);
}

}  // namespace

float global_scale(const StoredMatrix& stored, const Binding& wanted) {
  const int64_t n = stored.expert < 0 ? 1 : stored.weight->shape[0];
  const TensorInfo* const global = stored.global;
  if (global == nullptr || global->type != TensorType::f32 ||
      global->bytes != static_cast<uint64_t>(4 * n)) {
    fail(ErrorKind::bad_model, "{}: needs one float32 beside it that multiplies all scales{}",
         stored.where, stored.expert < 0 ? "" : ", for each expert");
  }
  float scale = 1.0F;
  const auto at = static_cast<size_t>(std::max<int64_t>(0, stored.expert)) * sizeof scale;
  if (wanted.store->has_weights())
    std::memcpy(&scale, wanted.store->bytes(*global).data() + at, sizeof scale);
  if (!std::isfinite(scale) || scale <= 0) {
    fail(ErrorKind::bad_model, "{}: all scales are multiplied with {}, wanted a number above 0",
         stored.where, scale);
  }
  return scale;
}

StoredMatrix find_stored(const std::string& path,
                         const std::function<const TensorInfo*(const std::string&)>& take) {
  const auto first = [&](std::initializer_list<const char*> endings) -> const TensorInfo* {
    for (const char* ending : endings) {
      if (const TensorInfo* const found = take(path + ending)) return found;
    }
    return nullptr;
  };
  StoredMatrix stored;
  // A tensor at the path itself: stacks of experts as transformers 5 publishes them.
  stored.weight = first({".weight", "", ".qweight", ".weight_packed"});
  if (stored.weight == nullptr) return stored;
  stored.scales = first({".scales", ".weight_scale", ".weight_scale_inv", ".SCB"});
  // As DeepSeek publishes them; elsewhere a number that has nothing to do with the matrix may be called so.
  if (stored.scales == nullptr &&
      (stored.weight->type == TensorType::f8_e4m3 || stored.weight->type == TensorType::i8))
    stored.scales = take(path + ".scale");
  stored.biases = first({".biases", ".qzeros", ".weight_zero_point"});
  stored.groups = first({".g_idx", ".weight_g_idx"});
  stored.global = first({".weight_scale_2", ".weight_global_scale", ".global_scale"});
  // Known by the shapes, or of activations, which are not rounded as a checkpoint proposes.
  for (const char* unused :
       {".weight_shape", ".weight_format", ".input_scale", ".input_global_scale"})
    take(path + unused);
  return stored;
}

std::optional<residency::Weight> bind_published(const StoredMatrix& stored, const Binding& wanted) {
  const TensorInfo& weight = *stored.weight;
  const bool has_scales = stored.scales != nullptr;
  const TensorType scales = has_scales ? stored.scales->type : TensorType::f32;
  const bool is_packed = weight.name.ends_with("weight_packed");
  Binder b{stored, wanted};
  const auto bind = [&]() -> void (*)(Binder&) {
    if (weight.name.ends_with(".qweight")) return bind_columns;
    if (is_packed && weight.type == TensorType::i32) return bind_packed_rows;
    if (weight.type == TensorType::i8 && is_byte_scale(scales))  // two of E2M1 a byte
      return [](Binder& x) { bind_in_place(x, Format::mxfp4, 4, 32); };
    if (weight.type == TensorType::i8 && has_scales) return bind_int8;
    if (weight.type == TensorType::u8 && wanted.published->method == Method::bitnet)
      return has_scales && scales == TensorType::u8 ? nullptr : bind_quarters;
    const bool is_e4m3 = weight.type == TensorType::f8_e4m3 && has_scales;
    if (is_e4m3 && is_byte_scale(scales) && wanted.published->block_rows > 1) return bind_fp8_tiles;
    if (is_e4m3 && is_byte_scale(scales))
      return [](Binder& x) { bind_in_place(x, Format::mxfp8, 8, 32); };
    if (is_e4m3) return bind_fp8;
    if (weight.type == TensorType::u8 && scales == TensorType::f8_e4m3)
      return [](Binder& x) { bind_in_place(x, Format::nvfp4, 4, 16); };
    if (is_packed && weight.type == TensorType::u8 && is_byte_scale(scales))
      return [](Binder& x) { bind_in_place(x, Format::mxfp4, 4, 32); };
    return nullptr;
  }();
  if (bind == nullptr) return std::nullopt;
  if (wanted.published->method == Method::none) {
    fail(ErrorKind::bad_model,
         "{}: is {} with scales, and config.json has no quantization_config that says how they "
         "were made",
         stored.where, io::info(weight.type).name);
  }
  const bool is_nvfp4 = weight.type == TensorType::u8 && scales == TensorType::f8_e4m3;
  if ((stored.expert >= 0 && !is_nvfp4) || stored.is_stack) {
    fail(ErrorKind::unsupported, "{}: {} with scales in a stack of matrices is not supported",
         stored.where, io::info(weight.type).name);
  }
  b.matrix().rows = wanted.rows;
  b.matrix().cols = wanted.cols;
  bind(b);
  return std::move(b.weight);
}

}  // namespace sluice::nn
