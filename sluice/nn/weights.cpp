#include "sluice/nn/weights.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <limits>
#include <numeric>
#include <system_error>
#include <utility>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/kernels/kernels.h"
#include "sluice/nn/bind.h"

namespace sluice::nn {
namespace {

/// What stands in place of a weight that others packed.
constexpr std::array<std::string_view, 2> kPackedLeaves = {"qweight", "weight_packed"};

}  // namespace

void WeightTable::add(std::string name, const io::TensorInfo& tensor) {
  const auto [at, added] = tensors_.try_emplace(std::move(name), Stored{&tensor});
  if (!added) {
    fail(ErrorKind::bad_model, "{} and {} are both {}", where(*at->second.tensor), where(tensor),
         printable(at->first));
  }
}

const io::TensorInfo* WeightTable::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : it->second.tensor;
}

const io::TensorInfo* WeightTable::take(std::string_view name) {
  const auto it = tensors_.find(name);
  if (it == tensors_.end()) return nullptr;
  it->second.asked_for = true;
  return it->second.tensor;
}

std::string WeightTable::where(const io::TensorInfo& tensor) const {
  return fmt::format("{}: {}", store_->index().files[tensor.file].path.filename().string(),
                     printable(tensor.name));
}

bool WeightTable::asked_for(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it != tensors_.end() && it->second.asked_for;
}

std::optional<StoredMatrix> WeightTable::take_matrix(const std::string& path) {
  StoredMatrix stored = find_stored(path, [this](const std::string& name) { return take(name); });
  if (stored.weight == nullptr) return std::nullopt;
  stored.where = where(*stored.weight);
  stored.is_transposed = stored.scales == nullptr && is_transposed && is_transposed(path);
  return stored;
}

residency::Weight WeightTable::bind(const StoredMatrix& stored, int64_t rows, int64_t cols) const {
  const std::string& name = stored.weight->name;
  return bind_matrix(
      stored, {.rows = rows,
               .cols = cols,
               .told = quantization ? quantization(name.substr(0, name.rfind('.'))) : std::nullopt,
               .published = &published,
               .store = store_});
}

std::vector<WeightTable::Named> WeightTable::left_over() const {
  std::vector<Named> left;
  for (const auto& [name, stored] : tensors_) {
    if (!stored.asked_for) left.push_back({name, stored.tensor});
  }
  return left;
}

void WeightTable::move_layers(std::string_view from, std::string_view to, int64_t first) {
  const std::string prefix = std::string(from) + ".";
  std::vector<std::pair<std::string, std::string>> names;
  for (auto it = tensors_.lower_bound(prefix);
       it != tensors_.end() && it->first.starts_with(prefix); ++it) {
    const std::string_view name = it->first;
    int64_t layer = -1;
    const char* const begin = name.data() + prefix.size();
    const auto [end, error] = std::from_chars(begin, name.data() + name.size(), layer);
    if (error != std::errc{} || layer < 0 || layer > std::numeric_limits<int32_t>::max()) continue;
    const auto at = static_cast<size_t>(end - name.data());
    names.emplace_back(name, fmt::format("{}.{}{}", to, first + layer, name.substr(at)));
  }
  rename(names);
}

void WeightTable::move(std::string_view from, std::string_view to) {
  std::vector<std::pair<std::string, std::string>> names;
  for (auto it = tensors_.lower_bound(from); it != tensors_.end() && it->first.starts_with(from);
       ++it)
    names.emplace_back(it->first, std::string(to) + it->first.substr(from.size()));
  rename(names);
}

void WeightTable::rename(const std::vector<std::pair<std::string, std::string>>& names) {
  for (const auto& [theirs, ours] : names) {
    add(ours, *tensors_.at(theirs).tensor);
    tensors_.erase(theirs);
  }
}

std::string Weights::child(std::string_view name) const {
  return path_.empty() ? std::string(name) : fmt::format("{}.{}", path_, name);
}

Weights Weights::operator[](std::string_view name) const {
  return Weights(*table_, child(name), layer_);
}

Weights Weights::layer(int64_t i) const { return Weights(*table_, child(std::to_string(i)), i); }

bool Weights::has(std::string_view leaf) const {
  if (table_->find(child(leaf)) != nullptr) return true;
  return leaf == "weight" && (table_->find(path_) != nullptr ||
                              std::ranges::any_of(kPackedLeaves, [&](std::string_view packed) {
                                return table_->find(child(packed)) != nullptr;
                              }));
}

std::span<const int64_t> Weights::shape(std::string_view leaf) const {
  const io::TensorInfo* const tensor = table_->find(child(leaf));
  return tensor == nullptr ? std::span<const int64_t>() : tensor->shape;
}

residency::Weight Weights::bind(BoundWeight::Use use, int64_t rows, int64_t cols,
                                bool is_stack) const {
  const auto taken = [&](std::string_view leaf) { return table_->asked_for(child(leaf)); };
  const bool known = taken("weight") || std::ranges::any_of(kPackedLeaves, taken);
  std::optional<StoredMatrix> stored = table_->take_matrix(path_);
  if (!stored) {
    fail(ErrorKind::bad_model, "{}: missing from the model's files, config needs it as [{}, {}]",
         path_, rows, cols);
  }
  stored->is_stack = is_stack;
  residency::Weight weight = table_->bind(*stored, rows, cols);
  if (use == BoundWeight::Use::table && kernels::is_packed(weight.matrix)) {
    fail(ErrorKind::unsupported,
         "{}: a packed table, of which rows are looked up, is not supported", stored->where);
  }
  if (!known) table_->bound_.push_back({use, layer_, path_, {weight}});
  return weight;
}

residency::Weight Weights::matrix(int64_t rows, int64_t cols) const {
  return bind(BoundWeight::Use::matrix, rows, cols);
}

residency::Weight Weights::matrices(int64_t n, int64_t rows, int64_t cols) const {
  return bind(BoundWeight::Use::matrix, n * rows, cols, true);
}

residency::Weight Weights::table(int64_t rows, int64_t cols) const {
  return bind(BoundWeight::Use::table, rows, cols);
}

std::vector<residency::Weight> Weights::stack(std::string_view name, int64_t n, int64_t rows,
                                              int64_t cols) const {
  const std::string path = child(name);
  std::vector<residency::Weight> weights;
  if (std::optional<StoredMatrix> whole = table_->take_matrix(path)) {
    const auto& shape = whole->weight->shape;
    const bool is_below = shape.size() == 2 && whole->scales == nullptr &&
                          shape[0] == n * (whole->is_transposed ? cols : rows);
    if (is_below) whole->n_below = n;
    if (!is_below && (shape.size() < 3 || shape[0] != n)) {
      fail(ErrorKind::bad_model, "{}: is {} {}, config needs {} experts of [{}, {}]", whole->where,
           io::info(whole->weight->type).name, io::shape_text(shape), n, rows, cols);
    }
    for (whole->expert = 0; whole->expert < n; ++whole->expert)
      weights.push_back(table_->bind(*whole, rows, cols));
  } else {
    for (int64_t expert = 0; expert < n; ++expert) {
      const auto one = table_->take_matrix(fmt::format("{}.{}.{}", path_, expert, name));
      if (!one) {
        fail(ErrorKind::bad_model, "{}: expert {} is missing, config needs {} of [{}, {}]", path,
             expert, n, rows, cols);
      }
      weights.push_back(table_->bind(*one, rows, cols));
    }
  }
  table_->bound_.push_back({BoundWeight::Use::experts, layer_, path, weights});
  return weights;
}

ops::Vector Weights::read(const io::TensorInfo& tensor, std::span<const int64_t> shape) const {
  const auto format = plain_format(tensor.type);
  if (!std::ranges::equal(tensor.shape, shape) || !format || *format > kernels::Format::bf16) {
    fail(ErrorKind::bad_model, "{}: is {} {}, config needs floating-point values {}",
         table_->where(tensor), io::info(tensor.type).name, io::shape_text(tensor.shape),
         io::shape_text(shape));
  }
  // Of a model whose headers alone were read, shapes promise bytes that no file has.
  if (!table_->store_->has_weights()) return std::make_shared<const std::vector<float>>();
  kernels::Matrix row;
  row.format = *format;
  row.rows = 1;
  row.cols = static_cast<int64_t>(tensor.bytes) / io::info(tensor.type).block_bytes;
  row.row_bytes = static_cast<int64_t>(tensor.bytes);
  row.data = table_->store_->bytes(tensor).data();
  std::vector<float> values(static_cast<size_t>(row.cols));
  kernels::kernels().dequantize_row(row, 0, values.data());
  return std::make_shared<const std::vector<float>>(std::move(values));
}

ops::Vector Weights::optional_tensor(std::span<const int64_t> shape) const {
  const io::TensorInfo* const tensor = table_->take(path_);
  return tensor == nullptr ? nullptr : read(*tensor, shape);
}

ops::Vector Weights::tensor(std::span<const int64_t> shape) const {
  ops::Vector values = optional_tensor(shape);
  if (!values) {
    fail(ErrorKind::bad_model, "{}: missing from the model's files, config needs it as {}", path_,
         io::shape_text(shape));
  }
  return values;
}

ops::Vector Weights::values(int64_t n) const {
  const io::TensorInfo* const tensor = table_->take(path_);
  if (tensor == nullptr) return this->tensor({{n}});  // which says that it is missing
  const int64_t found =
      std::reduce(tensor->shape.begin(), tensor->shape.end(), int64_t{1}, std::multiplies<>());
  return read(*tensor, found == n ? std::span<const int64_t>(tensor->shape) : std::span(&n, 1));
}

void Weights::pass_over() const {
  table_->take_matrix(path_);
  table_->take(child("bias"));
}

std::vector<ops::Vector> Weights::optional_vectors(std::string_view name, int64_t n,
                                                   int64_t length) const {
  std::vector<ops::Vector> vectors;
  if (const io::TensorInfo* const whole = table_->take(child(name))) {
    const ops::Vector all = read(*whole, {{n, length}});
    for (int64_t i = 0; i < n; ++i) vectors.push_back(part(all, i * length, length));
    return vectors;
  }
  for (int64_t i = 0; i < n; ++i) {
    ops::Vector one = (*this)[std::to_string(i)][name].optional_vector(length);
    if (!one && i == 0) return {};
    if (!one) {
      fail(ErrorKind::bad_model, "{}: the files hold {}, config needs {}", child(name), i, n);
    }
    vectors.push_back(std::move(one));
  }
  return vectors;
}

ops::Vector part(const ops::Vector& whole, int64_t begin, int64_t n, int64_t step) {
  if (!whole || whole->empty()) return whole;
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    values[static_cast<size_t>(i)] = (*whole)[static_cast<size_t>(begin + i * step)];
  return std::make_shared<const std::vector<float>>(std::move(values));
}

}  // namespace sluice::nn
