#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/io/formats/gguf.h"
#include "sluice/models/family.h"
#include "sluice/models/source.h"
#include "sluice/nn/config.h"
#include "sluice/residency/store/weights.h"

namespace sluice::convert {

/// A tensor of the model that is computed with. MLX's scales and biases belong to their matrix.
struct SourceTensor {
  enum class Use {
    vector,  ///< norms, biases, convolutions: whatever is not multiplied with as a matrix
    matrix,
    table,    ///< the embedding
    experts,  ///< one of all experts above each other, or one expert's
    router,   ///< tells experts apart; small, and all else hangs on it
  };
  std::string name;  ///< in the files
  std::string ours;  ///< as layers ask for it
  Use use = Use::vector;
  std::vector<int64_t> shape;  ///< of its values, outermost first
  residency::Weight weight;    ///< all rows above each other
  io::TensorType type = io::TensorType::f32;
  bool is_number = true;  ///< false: integers, which are copied
};

/// A model's files, opened to be converted: headers only.
struct SourceModel {
  std::filesystem::path path;
  std::unique_ptr<io::Gguf> gguf;  ///< null: a directory
  std::optional<models::Source> source;
  const models::Family* family = nullptr;
  std::unique_ptr<residency::WeightStore> store;
  nn::Config config;
  std::vector<SourceTensor> tensors;  ///< layer by layer
  std::string left_out;               ///< a line for a user, or empty
  /// What most matrices' values are: f32, f16 or bf16; of GGUF's blocks, f16.
  kernels::Format float_type = kernels::Format::f32;
  bool is_quantized = false;
};

/// path: a .gguf file or a directory, as load_model takes it. Throws what load_model throws.
SourceModel open_source(const std::filesystem::path& path);

/// The same of a GGUF of which the header is there only, in memory that outlives the result.
SourceModel open_gguf_header(std::string_view header, const std::string& name, uint64_t bytes);

/// Orders names as people count: "layers.2." before "layers.10.".
bool counts_before(std::string_view a, std::string_view b);

}  // namespace sluice::convert
