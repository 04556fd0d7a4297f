#include "sluice/residency/weights.h"

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

WeightStore::WeightStore(io::TensorIndex index,
                         std::vector<std::shared_ptr<const io::MappedFile>> mappings)
    : index_(std::move(index)), mappings_(std::move(mappings)) {
  for (size_t file = mappings_.size(); file < index_.files.size(); ++file) {
    mappings_.push_back(io::MappedFile::open(index_.files[file].path));
    if (mappings_.back()->bytes().size() != index_.files[file].bytes) {
      fail(ErrorKind::bad_model, "{}: changed its size while being opened: {} bytes, was {}",
           index_.files[file].path.string(), mappings_.back()->bytes().size(),
           index_.files[file].bytes);
    }
  }
}

kernels::Matrix WeightStore::acquire(const Weight& weight) const noexcept {
  kernels::Matrix matrix = weight.matrix;
  matrix.data = mappings_[weight.data.file]->bytes().data() + weight.data.offset;
  if (matrix.scale_row_bytes != 0) {
    matrix.scales = mappings_[weight.scales.file]->bytes().data() + weight.scales.offset;
  }
  if (matrix.format == kernels::Format::affine) {
    matrix.biases = mappings_[weight.biases.file]->bytes().data() + weight.biases.offset;
  }
  return matrix;
}

std::span<const std::byte> WeightStore::bytes(const io::TensorInfo& tensor) const noexcept {
  return mappings_[tensor.file]->bytes().subspan(tensor.offset, tensor.bytes);
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
