#include "sluice/residency/weights.h"

#include <new>

#include "sluice/base/bytes.h"
#include "sluice/base/error.h"

namespace sluice::residency {

Weight Weight::select_rows(int64_t begin, int64_t count, int64_t step) const {
  const int64_t last = begin + (count - 1) * step;
  if (begin < 0 || count < 1 || step < 1 || last >= rows()) {
    fail(ErrorKind::bad_model, "{}: has {} rows, config needs rows {} to {}", name, rows(), begin,
         last);
  }
  Weight part = *this;
  const auto skipped = static_cast<uint64_t>(begin);
  part.data.offset += skipped * static_cast<uint64_t>(matrix.row_bytes);
  part.scales.offset += skipped * static_cast<uint64_t>(matrix.scale_row_bytes);
  part.biases.offset += skipped * static_cast<uint64_t>(matrix.scale_row_bytes);
  part.matrix.rows = count;
  part.matrix.row_bytes *= step;
  part.matrix.scale_row_bytes *= step;
  return part;
}

WeightStore::WeightStore(io::TensorIndex index, LoadMode mode,
                         std::vector<std::shared_ptr<const io::MappedFile>> mappings)
    : index_(std::move(index)), mappings_(std::move(mappings)) {
  for (size_t file = 0; file < index_.files.size(); ++file) {
    if (file == mappings_.size())
      mappings_.push_back(io::MappedFile::open(index_.files[file].path));
    const std::span<const std::byte> mapped = mappings_[file]->bytes();
    if (mapped.size() != index_.files[file].bytes) {
      fail(ErrorKind::bad_model, "{}: changed its size while being opened: {} bytes, was {}",
           index_.files[file].path.string(), mapped.size(), index_.files[file].bytes);
    }
    if (mode == LoadMode::copy) {
      try {
        copies_.emplace_back(mapped.size());
      } catch (const std::bad_alloc&) {
        fail(ErrorKind::over_budget, "{}: no memory for a copy of {}; load it mapped",
             index_.files[file].path.string(), to_string(Bytes{mapped.size()}));
      }
    }
    if (mode == LoadMode::copy) mappings_[file]->read(copies_.back());
    files_.push_back(mode == LoadMode::copy ? std::span<const std::byte>(copies_.back()) : mapped);
  }
  if (mode == LoadMode::copy) check_intact();
}

kernels::Matrix WeightStore::acquire(const Weight& weight) const noexcept {
  kernels::Matrix matrix = weight.matrix;
  matrix.data = files_[weight.data.file].data() + weight.data.offset;
  if (matrix.scale_row_bytes != 0) {
    matrix.scales = files_[weight.scales.file].data() + weight.scales.offset;
  }
  if (matrix.format == kernels::Format::affine) {
    matrix.biases = files_[weight.biases.file].data() + weight.biases.offset;
  }
  return matrix;
}

std::span<const std::byte> WeightStore::bytes(const io::TensorInfo& tensor) const noexcept {
  return files_[tensor.file].subspan(tensor.offset, tensor.bytes);
}

void WeightStore::check_intact() const {
  for (const auto& mapping : mappings_) {
    if (mapping->truncated()) {
      fail(ErrorKind::io,
           "{}: was truncated while in use; restore the file and load the model again",
           mapping->path().string());
    }
  }
}

}  // namespace sluice::residency
