#include "sluice/convert/source_model.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <map>
#include <set>

#include "sluice/base/error.h"
#include "sluice/io/formats/gguf_reader.h"
#include "sluice/io/formats/json_file.h"
#include "sluice/io/formats/safetensors.h"
#include "sluice/kernels/strips.h"
#include "sluice/models/config.h"
#include "sluice/models/left_over.h"
#include "sluice/models/registry.h"
#include "sluice/models/weight_names.h"
#include "sluice/nn/bind.h"
#include "sluice/nn/model.h"

namespace sluice::convert {
namespace {

using kernels::Format;
using residency::Weight;
using Use = SourceTensor::Use;

constexpr io::JsonLimits kConfig{.size = {16'000'000}};

/// A matrix that a layer asked for, by the place of its first byte.
struct Bound {
  const nn::BoundWeight* by;
  Weight weight;
};
using BoundPlaces = std::map<residency::FilePlace, Bound>;

BoundPlaces places_of(const nn::WeightTable& table) {
  BoundPlaces places;
  for (const nn::BoundWeight& bound : table.bound()) {
    for (const Weight& weight : bound.weights)
      places.try_emplace(weight.data, Bound{&bound, weight});
  }
  return places;
}

Use use_of(const nn::BoundWeight& bound) {
  if (bound.use == nn::BoundWeight::Use::experts) return Use::experts;
  if (bound.use == nn::BoundWeight::Use::table) return Use::table;
  return bound.path.ends_with("gate") || bound.path.ends_with("router.proj") ? Use::router
                                                                             : Use::matrix;
}

/// Not asked for as a matrix: rows of its last dimension, or the bytes as they are.
Weight plain_weight(const io::TensorInfo& tensor, bool& is_number) {
  Weight weight;
  weight.data = {tensor.file, tensor.offset};
  kernels::Matrix& m = weight.matrix;
  const auto format = nn::plain_format(tensor.type);
  is_number = format.has_value();
  m.format = format.value_or(Format::f32);
  m.cols = is_number && !tensor.shape.empty() ? tensor.shape.back() : 1;
  m.rows = 1;
  for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) m.rows *= tensor.shape[i];
  if (!is_number || m.rows == 0) m.rows = 1;
  m.row_bytes = static_cast<int64_t>(tensor.bytes) / m.rows;
  return weight;
}

/// The whole of a stack, of which `weight` is the first.
Weight whole(Weight weight, const io::TensorInfo& tensor) {
  const int64_t n = static_cast<int64_t>(tensor.bytes) / (weight.matrix.row_bytes * weight.rows());
  weight.matrix.rows *= n;
  return weight;
}

SourceTensor describe(const nn::WeightTable::Named& named, const BoundPlaces& places) {
  const io::TensorInfo& tensor = *named.tensor;
  SourceTensor t{.name = tensor.name,
                 .ours = std::string(named.name),
                 .shape = tensor.shape,
                 .weight = {},
                 .type = tensor.type};
  const auto bound = places.find({tensor.file, tensor.offset});
  if (bound == places.end() || tensor.bytes == 0) {
    t.weight = plain_weight(tensor, t.is_number);
    return t;
  }
  t.use = use_of(*bound->second.by);
  t.weight = whole(bound->second.weight, tensor);
  if (t.weight.matrix.packing.codes == kernels::Packing::Codes::transposed) {
    fail(ErrorKind::unsupported,
         "{}: lies transposed, which is not converted yet; begin with what mlx_lm.convert makes of "
         "it",
         tensor.name);
  }
  if (kernels::needs_strips(t.weight.matrix)) {
    fail(ErrorKind::unsupported, "{}: is {}, which is not converted yet; begin with the original",
         tensor.name, io::info(tensor.type).name);
  }
  if (t.weight.matrix.format == Format::nvfp4 && t.weight.matrix.global_scale != 1)
    fail(ErrorKind::unsupported,
         "{}: has a number for all its scales, which is not converted yet; begin with the original",
         tensor.name);
  if (t.weight.matrix.group_size > 0) {  // the shape is the packed integers'
    t.shape.back() = t.weight.cols();
    const auto elements = t.weight.rows() * t.weight.cols();
    int64_t known = 1;
    for (const int64_t d : t.shape) known *= d;
    if (known != elements) t.shape = {t.weight.rows(), t.weight.cols()};
  }
  return t;
}

void describe_all(SourceModel& model, const std::vector<nn::WeightTable::Named>& all,
                  const nn::WeightTable& table) {
  if (table.published.method != nn::PublishedQuantization::Method::none) {
    fail(
        ErrorKind::unsupported,
        "what others than MLX quantized (quantization_config) is not converted yet; begin with the "
        "original");
  }
  if (!table.rotated_blocks.empty())
    fail(ErrorKind::unsupported,
         "matrices that were rotated before they were rounded are not converted yet; begin with "
         "the original");
  std::set<const io::TensorInfo*> unused;
  for (const auto& left : table.left_over()) unused.insert(left.tensor);
  const BoundPlaces places = places_of(table);
  std::set<residency::FilePlace> parts;  // scales and biases
  for (const auto& [place, bound] : places) {
    if (bound.weight.matrix.scale_row_bytes > 0) parts.insert(bound.weight.scales);
    if (bound.weight.matrix.format == Format::affine) parts.insert(bound.weight.biases);
  }
  for (const auto& named : all) {
    const bool is_part = parts.contains({named.tensor->file, named.tensor->offset});
    if (!unused.contains(named.tensor) && !is_part)
      model.tensors.push_back(describe(named, places));
  }
  std::ranges::stable_sort(model.tensors, [](const SourceTensor& a, const SourceTensor& b) {
    return counts_before(a.name, b.name);
  });
}

/// By the bytes of matrices.
void find_types(SourceModel& model) {
  std::map<Format, int64_t> values;
  for (const SourceTensor& t : model.tensors) {
    const kernels::Matrix& m = t.weight.matrix;
    if (t.use == Use::vector || t.use == Use::router) continue;
    model.is_quantized |= m.format > Format::bf16;
    const Format type = m.format <= Format::bf16     ? m.format
                        : m.format == Format::affine ? m.scale_type
                        : model.gguf != nullptr      ? Format::f16
                                                     : Format::bf16;
    values[type] += m.rows * m.cols;
  }
  int64_t most = 0;
  for (const auto& [type, n] : values) {
    if (n > most) {
      most = n;
      model.float_type = type;
    }
  }
}

void read_layers(SourceModel& model, nn::WeightTable table) {
  const auto all = table.left_over();  // nobody asked yet
  table.quantization = models::quantization_of(*model.source);
  table.published = models::read_published_quantization(*model.source);
  nn::Config config = model.family->read(*model.source, table);
  model.source->check_all_asked();
  const auto built = model.family->make(std::move(config), nn::Weights(table));
  model.config = built->config();
  model.left_out =
      models::check_all_bound(table, *model.family, model.config, *model.source).text();
  describe_all(model, all, table);
  find_types(model);
}

}  // namespace

bool counts_before(std::string_view a, std::string_view b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (is_digit(a[i]) && is_digit(b[j])) {
      uint64_t x = 0, y = 0;
      i = static_cast<size_t>(std::from_chars(a.data() + i, a.data() + a.size(), x).ptr - a.data());
      j = static_cast<size_t>(std::from_chars(b.data() + j, b.data() + b.size(), y).ptr - b.data());
      if (x != y) return x < y;
    } else if (a[i] != b[j]) {
      return a[i] < b[j];
    } else {
      ++i;
      ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

namespace {

void open_store(SourceModel& model, io::TensorIndex index) {
  model.store =
      std::make_unique<residency::WeightStore>(std::move(index), residency::LoadMode::headers);
}

SourceModel open_gguf(io::Gguf gguf, const std::filesystem::path& path) {
  SourceModel model;
  model.path = path;
  model.gguf = std::make_unique<io::Gguf>(std::move(gguf));
  model.source = models::Source::from_gguf(*model.gguf, path.string());
  model.family = &models::family_of(*model.source);
  open_store(model, model.gguf->index);
  read_layers(model, models::name_gguf(*model.store, model.family->gguf_names));
  return model;
}

}  // namespace

SourceModel open_gguf_header(std::string_view header, const std::string& name, uint64_t bytes) {
  io::Gguf gguf;
  gguf.index.files.push_back({name, bytes});
  io::read_gguf_header(std::as_bytes(std::span(header)), name, 0, gguf, io::Data::not_needed);
  return open_gguf(std::move(gguf), name);
}

SourceModel open_source(const std::filesystem::path& path) {
  if (io::is_gguf(path)) return open_gguf(io::open_gguf(path), path);
  SourceModel model;
  model.path = path;
  const auto config = path / "config.json";
  if (!std::filesystem::exists(config))
    fail(ErrorKind::bad_model, "{}: has no config.json", path.string());
  model.source = models::Source::from_config(io::read_json_file(config, kConfig), config.string());
  model.family = &models::family_of(*model.source);
  open_store(model, io::open_safetensors(path));
  read_layers(model, models::name_safetensors(*model.store, model.family->hf_names));
  return model;
}

}  // namespace sluice::convert
