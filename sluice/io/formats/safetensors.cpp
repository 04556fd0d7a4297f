#include "sluice/io/formats/safetensors.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/io/formats/json_file.h"
#include "sluice/io/lfs_pointer.h"
#include "sluice/io/mapped_file.h"

namespace sluice::io {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexName = "model.safetensors.index.json";

/// Tensor name to shard name, as model.safetensors.index.json has it.
using WeightMap = std::map<std::string, std::string>;

/// A shard name must stay in the directory: the index may come from anyone.
bool is_plain_file_name(const std::string& name) {
  return name.ends_with(".safetensors") &&
         name.find_first_of(std::string_view("/\\\0", 3)) == name.npos;
}

WeightMap read_weight_map(const fs::path& path) {
  const auto json = read_json_file(path);
  const auto map = json.find("weight_map");
  if (map == json.end() || !map->is_object()) {
    fail(ErrorKind::bad_model, "{}: has no object weight_map", kIndexName);
  }
  WeightMap shards;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string() || !is_plain_file_name(shard.get_ref<const std::string&>())) {
      fail(ErrorKind::bad_model,
           "{}: tensor {} is said to be in {}, wanted the plain name of a .safetensors file",
           kIndexName, printable_name(tensor),
           shard.is_string() ? printable_name(shard.get_ref<const std::string&>())
                             : shard.type_name());
    }
    shards.emplace(tensor, shard.get<std::string>());
  }
  return shards;
}

/// What would do where a file is missing.
std::string_view hint(Data data) {
  return data == Data::required ? ""
                                : "; its beginning is enough, whose header says how large each "
                                  "matrix is: curl -r 0-9999999";
}

/// *.safetensors in the directory, in name order; only those named model* when there are any: others are
/// the same weights once more (consolidated.safetensors) or an adapter's.
std::vector<fs::path> find_shards(const fs::path& directory, Data data) {
  std::error_code error;
  std::vector<fs::path> all;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() == ".safetensors") all.push_back(at->path());
  }
  if (error) fail(ErrorKind::io, "{}: cannot be listed: {}", directory.string(), error.message());
  if (all.empty())
    fail(ErrorKind::bad_model, "{}: holds no *.safetensors file{}", directory.string(), hint(data));
  std::sort(all.begin(), all.end());
  std::vector<fs::path> model;
  std::copy_if(all.begin(), all.end(), std::back_inserter(model),
               [](const fs::path& path) { return path.filename().string().starts_with("model"); });
  return model.empty() ? all : model;
}

void add_file(const fs::path& path, Data data, TensorIndex& index) {
  const auto mapped = MappedFile::open(path);
  const auto bytes = mapped->bytes();
  refuse_lfs_pointer(bytes, path.filename().string());
  index.files.push_back({path, bytes.size()});
  index.files.back().bytes = read_safetensors_header(bytes, bytes.size(), path.filename().string(),
                                                     index.files.size() - 1, index, data);
  if (mapped->changed()) fail(ErrorKind::io, "{}: was written to while being read", path.string());
}

/// The shards that the index names. An index of other shards that was left beside a whole model.safetensors counts
/// for nothing, as in the field.
std::vector<fs::path> indexed_shards(const fs::path& directory, Data data) {
  std::vector<std::string> names;
  for (const auto& [tensor, shard] : read_weight_map(directory / kIndexName))
    names.push_back(shard);
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const fs::path whole = directory / "model.safetensors";
  std::vector<fs::path> shards;
  std::error_code error;
  for (const auto& name : names) {
    shards.push_back(directory / name);
    if (fs::exists(shards.back(), error)) continue;
    if (fs::exists(whole, error)) return {whole};
    fail(ErrorKind::bad_model, "{}: the file {} is missing{}", kIndexName, printable(name),
         hint(data));
  }
  return shards;
}

}  // namespace

TensorIndex open_safetensors(const fs::path& directory, Data data) {
  TensorIndex index;
  std::error_code error;
  std::vector<fs::path> shards;
  if (fs::exists(directory / kIndexName, error)) shards = indexed_shards(directory, data);
  if (shards.empty()) shards = find_shards(directory, data);
  for (const auto& path : shards) add_file(path, data, index);
  return index;
}

}  // namespace sluice::io
