#include "sluice/engine/contents.h"

#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "sluice/io/formats/gguf_reader.h"
#include "sluice/io/formats/json_file.h"
#include "sluice/io/formats/safetensors.h"
#include "sluice/models/source.h"

namespace sluice::engine {
namespace {

struct MetadataText {
  std::string operator()(const io::GgufArray& array) const {
    constexpr size_t kShown = 4;
    std::vector<std::string> shown;
    if (array.element == io::GgufType::string) {
      io::GgufReader strings(array.bytes, "a metadata array");  // not all 262,144 for four of them
      while (shown.size() < std::min<uint64_t>(kShown, array.count))
        shown.push_back(fmt::format("\"{}\"", strings.string()));
    } else {
      for (const double number : array.numbers()) {
        if (shown.size() == kShown) break;
        shown.push_back(fmt::format("{}", number));
      }
    }
    return fmt::format("[{}{}] ({} elements)", fmt::join(shown, ", "),
                       array.count > shown.size() ? ", ..." : "", array.count);
  }
  std::string operator()(const auto& value) const { return fmt::format("{}", value); }
};

}  // namespace

std::vector<TensorSummary> summaries(const io::TensorIndex& index) {
  std::vector<TensorSummary> all;
  for (const auto& [name, tensor] : index.tensors) {
    all.push_back(
        {name, std::string(io::info(tensor.type).name), tensor.shape, Bytes{tensor.bytes}});
  }
  return all;
}

std::vector<std::pair<std::string, std::string>> metadata_text(const io::GgufMetadata& metadata) {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& [key, value] : metadata.values)
    all.emplace_back(key, std::visit(MetadataText{}, value));
  return all;
}

Contents read_contents(const std::filesystem::path& path) {
  Contents contents;
  io::TensorIndex index;
  if (path.extension() == ".gguf") {
    io::Gguf gguf = io::open_gguf(path);
    contents.architecture = models::Source::from_gguf(gguf, path.string()).architecture();
    contents.metadata = metadata_text(gguf.metadata);
    index = std::move(gguf.index);
  } else {
    const auto config = path / "config.json";
    contents.architecture =
        models::Source::from_config(io::read_json_file(config), config.string()).architecture();
    index = io::open_safetensors(path);
  }
  for (const io::ModelFile& file : index.files) contents.file_bytes.count += file.bytes;
  contents.tensors = summaries(index);
  return contents;
}

}  // namespace sluice::engine
