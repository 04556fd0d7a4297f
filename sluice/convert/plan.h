#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "sluice/residency/weight.h"

namespace sluice::convert {

/// What happens to a matrix on its way besides its encoding.
struct Change {
  enum class Rows {
    kept,
    to_pairs,   ///< within a head, rows i and i + half become rows 2i and 2i + 1: as ggml rotates
    to_halves,  ///< the reverse
  };
  Rows rows = Rows::kept;
  int64_t n_heads = 1;
  float added = 0;  ///< to each value
  bool operator==(const Change&) const = default;
};

/// A tensor to be written: the rows of its sources one after the other, encoded alike.
struct Product {
  std::string name;            ///< "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"
  std::vector<int64_t> shape;  ///< of its values, outermost first
  std::vector<residency::Weight> sources;
  std::vector<float> values = {};  ///< in place of sources: one row of float32
  Change change = {};
  std::string column_path = {};  ///< whose columns' importance counts
  std::string dtype = {};        ///< in safetensors, of what is copied and no float
  bool repacked = false;         ///< blocks become groups of the very same values
  /// How all rows are stored, and where in the plan's files.
  residency::Weight target;
};

/// The row of a product's sources that its row `row` is.
int64_t source_row(const Product& product, int64_t row);

struct PlannedFile {
  std::string name;
  std::string header;  ///< its first bytes; tensors follow
  uint64_t bytes = 0;
};

/// Everything that a conversion will write, known before the first byte is.
struct Plan {
  std::vector<std::filesystem::path> sources;  ///< which Product::sources count
  std::vector<PlannedFile> files;
  std::vector<Product> products;
  uint64_t bytes() const;
};

}  // namespace sluice::convert
