#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sluice/base/bytes.h"
#include "sluice/convert/source_model.h"
#include "sluice/convert/write.h"

namespace sluice::convert {

enum class Target { mlx, gguf };

/// How one matrix is quantized.
struct Quantization {
  int bits = 0, group_size = 0;
  std::string mode;
  bool operator==(const Quantization&) const = default;
};

/// Asked about each matrix that would be quantized, by its module's path and shape, and how; nullopt: it stays floats.
using Predicate = std::function<std::optional<Quantization>(
    const std::string& path, std::span<const int64_t> shape, const Quantization& usual)>;

struct ConvertOptions {
  Target to = Target::mlx;
  std::optional<kernels::Format>
      dtype;                ///< f32, f16 or bf16: of what is not quantized; unset: as it is
  bool dequantize = false;  ///< quantized weights become floats
  // MLX
  int bits = 0;  ///< 0 with mode "affine": matrices are not quantized
  int group_size = 0;
  std::string mode = "affine";    ///< affine, mxfp4, mxfp8, nvfp4
  std::string recipe;             ///< mixed_2_6, mixed_3_4, mixed_3_6, mixed_4_6
  std::vector<std::string> keep;  ///< shell patterns of paths that stay floats
  Predicate predicate;            ///< empty: all as above
  // GGUF
  std::string type;                 ///< as tensor types are called: "q4_k"
  std::filesystem::path imatrix;    ///< of what `sluice imatrix` wrote; empty: none
  std::filesystem::path tokenizer;  ///< a directory, where the source's own cannot be carried over
  int n_threads = 0;                ///< 1 or more
  std::optional<Bytes> ram;
  std::function<void(const Progress&)> progress;
};

struct Converted {
  std::filesystem::path out;
  Bytes bytes, resumed;
  std::string left_out;            ///< a line for a user, or empty
  std::vector<std::string> notes;  ///< what became other than asked for, line by line
};

/// Converts a model: `source` is a directory or a .gguf file; `out` a directory (MLX) or a file (GGUF), which must not exist.
/// What is written lies in out + ".partial" until all of it was checked. A run that was killed is taken up there;
/// after an error nothing is left. Memory: `ram`, or about 150 MB beside the process's own.
/// Throws Error(bad_request) for options that contradict each other, the model or the kind of file, Error(over_budget) for a `ram` that is too small,
/// Error(io), also before the start where the disk has no room, and what open_source throws.
Converted convert(const std::filesystem::path& source, const std::filesystem::path& out,
                  const ConvertOptions& options);

/// A file beside the tensors.
struct SideFile {
  std::string name, text;
};

/// What a conversion consists of. to_mlx: a directory's; to_gguf: one file's, out of the header that its tensors follow.
struct Conversion {
  Plan plan;
  std::vector<SideFile> side_files;
  std::vector<std::filesystem::path> copied;  ///< files that are taken over as they are
  std::vector<std::string> notes;
};
Conversion plan_mlx(const SourceModel& model, const ConvertOptions& options);
Conversion plan_gguf(const SourceModel& model, const std::string& file_name,
                     const ConvertOptions& options, const Importance& importance);

}  // namespace sluice::convert
