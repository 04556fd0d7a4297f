#include "sluice/engine/model_key.h"

#include <sys/stat.h>

#include <fstream>

#include "sluice/base/digest.h"
#include "sluice/base/error.h"
#include "sluice/engine/engine_impl.h"
#include "sluice/io/file_stamp.h"

namespace sluice::engine {
namespace {

/// Raised by every change after which the same tokens have other keys and values: what an older one kept on disk is
/// not found any more.
constexpr int kArithmetic = 1;
/// Of a file's beginning.
constexpr size_t kHead = 1 << 20;

std::string head_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string head(kHead, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  if (in.bad() || !in.is_open()) fail(ErrorKind::io, "{}: cannot be read", path.string());
  head.resize(static_cast<size_t>(in.gcount()));
  return head;
}

std::string describe_file(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    fail(ErrorKind::io, "{}: cannot be examined", path.string());
  const io::FileStamp stamp = io::stamp_of(status);
  return fmt::format("{} {} {} {}\n", path.filename().string(), stamp.bytes, stamp.modified_ns,
                     sha256(head_of(path)));
}

std::string describe_layout(const nn::KvLayout& layout) {
  std::string text = fmt::format("blocks of {}\n", kernels::kKvBlockTokens);
  for (const auto& group : layout.groups)
    text +=
        fmt::format("group {} {} {}\n", group.window, group.keeps_first, group.block_bytes.count);
  for (size_t i = 0; i < layout.layers.size(); ++i) {
    const auto& layer = layout.layers[i];
    text += fmt::format("layer {} {} {} {} {} {} {} {}\n", layout.group_of_layer[i],
                        layer.n_kv_heads, layer.head_dim, static_cast<int>(layer.type),
                        layer.offset, layer.code.key_bits, layer.code.value_bits, layer.recent);
    if (layer.last > 0)
      text += fmt::format("first {} and last {}\n", ops::kFirstTokens, layer.last);
  }
  return text;
}

}  // namespace

std::string model_key(const Engine::Impl& engine) {
  const EngineOptions& options = engine.options;
  std::string text =
      fmt::format("arithmetic {} on {}, activations {}, experts {} {}\n", kArithmetic,
                  engine.kernels.isa, static_cast<int>(options.activations),
                  options.load.top_k_experts, options.load.adaptive_experts);
  text += describe_layout(*engine.kv_layout);
  for (const auto& file : engine.loaded.store->index().files) text += describe_file(file.path);
  const std::filesystem::path config = engine.path / "config.json";
  if (std::filesystem::exists(config)) text += describe_file(config);
  return sha256(text);
}

}  // namespace sluice::engine
