#include "sluice/io/formats/gguf.h"

#include <algorithm>
#include <array>
#include <bit>

#include "sluice/base/error.h"
#include "sluice/base/printable.h"
#include "sluice/io/formats/gguf_reader.h"
#include "sluice/io/lfs_pointer.h"

namespace sluice::io {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kDefaultAlignment = 32;
constexpr int64_t kLargestAlignment = 1 << 20;
constexpr int64_t kMostSplits = 4096;

struct Header {
  uint32_t version = 0;
  GgufMetadata metadata;
  std::vector<TensorInfo> tensors;
};

uint32_t read_version(GgufReader& reader) {
  constexpr std::array<std::byte, 4> kMagic = {std::byte{'G'}, std::byte{'G'}, std::byte{'U'},
                                               std::byte{'F'}};
  const auto magic = reader.take(kMagic.size());
  if (!std::equal(magic.begin(), magic.end(), kMagic.begin())) {
    fail(ErrorKind::bad_model, "{}: does not begin with GGUF", reader.context());
  }
  const auto version = reader.number<uint32_t>();
  if (version == 0) fail(ErrorKind::bad_model, "{}: is of GGUF version 0", reader.context());
  if ((version & 0xFFFF) == 0) {
    fail(ErrorKind::unsupported, "{}: is a big-endian GGUF file", reader.context());
  }
  if (version != 2 && version != 3) {
    fail(ErrorKind::unsupported, "{}: is of GGUF version {}, Sluice reads 2 and 3",
         reader.context(), version);
  }
  return version;
}

uint64_t alignment_of(const GgufMetadata& metadata) {
  const auto given = metadata.integer("general.alignment");
  if (!given) return kDefaultAlignment;
  if (*given < 8 || *given > kLargestAlignment ||
      !std::has_single_bit(static_cast<uint64_t>(*given))) {
    fail(ErrorKind::bad_model,
         "{}: key general.alignment is {}, wanted a power of two from 8 to {}", metadata.where,
         *given, kLargestAlignment);
  }
  return static_cast<uint64_t>(*given);
}

Header parse(std::span<const std::byte> bytes, const std::string& where, size_t file, Data data) {
  GgufReader reader(bytes, where);
  Header header;
  header.version = read_version(reader);
  const auto n_tensors = reader.number<uint64_t>();
  const auto n_pairs = reader.number<uint64_t>();
  header.metadata = read_gguf_metadata(reader, n_pairs, where);
  const uint64_t alignment = alignment_of(header.metadata);
  header.tensors = read_gguf_tensors(reader, n_tensors, alignment, where, data);
  for (auto& tensor : header.tensors) tensor.file = file;
  return header;
}

void add(Header header, const std::string& where, size_t file, Gguf& gguf) {
  for (auto& tensor : header.tensors) {
    const auto [at, added] = gguf.index.tensors.try_emplace(tensor.name, tensor);
    if (!added) {
      fail(ErrorKind::bad_model, "{}: tensor {} was seen before", where,
           printable_name(tensor.name));
    }
  }
  if (file == 0) {
    gguf.version = header.version;
    gguf.metadata = std::move(header.metadata);
  }
}

/// What a split file says of itself; count 1 when it is whole.
struct Split {
  int64_t number = 0;  // counted from 0; file names count from 1
  int64_t count = 1;
  std::optional<int64_t> n_tensors;  // of all parts
};

Split split_of(const GgufMetadata& metadata) {
  Split split;
  split.number = metadata.integer("split.no").value_or(0);
  split.count = std::max<int64_t>(1, metadata.integer("split.count").value_or(1));
  split.n_tensors = metadata.integer("split.tensors.count");
  if (split.count > kMostSplits || split.number < 0 || split.number >= split.count) {
    fail(ErrorKind::bad_model,
         "{}: says it is part split.no {} of split.count {}, at most {} are read", metadata.where,
         split.number, split.count, kMostSplits);
  }
  return split;
}

std::string split_suffix(int64_t number, int64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", number + 1, count);
}

/// Appends the file to gguf and returns what it says of its place among the parts.
Split add_file(const fs::path& path, Data data, Gguf& gguf) {
  const size_t file = gguf.index.files.size();
  const auto where = path.filename().string();
  auto mapped = MappedFile::open(path);
  refuse_lfs_pointer(mapped->bytes(), where);
  auto header = parse(mapped->bytes(), where, file, data);
  if (mapped->changed()) fail(ErrorKind::io, "{}: was written to while being read", path.string());
  const Split split = split_of(header.metadata);
  uint64_t bytes = mapped->bytes().size();
  for (const auto& tensor : header.tensors) bytes = std::max(bytes, tensor.offset + tensor.bytes);
  gguf.index.files.push_back({path, bytes});
  gguf.mappings.push_back(std::move(mapped));
  add(std::move(header), where, file, gguf);
  return split;
}

void add_other_parts(const fs::path& first, const Split& split, Data data, Gguf& gguf) {
  const auto where = first.filename().string();
  const auto suffix = split_suffix(split.number, split.count);
  if (!where.ends_with(suffix)) {
    fail(ErrorKind::bad_model, "{}: is part {} of {}, its name should end in {}", where,
         split.number + 1, split.count, suffix);
  }
  const auto stem = where.substr(0, where.size() - suffix.size());
  if (split.number != 0) {
    fail(ErrorKind::bad_request, "{}: is part {} of {}, give the first: {}", where,
         split.number + 1, split.count, stem + split_suffix(0, split.count));
  }
  for (int64_t number = 1; number < split.count; ++number) {
    const auto name = stem + split_suffix(number, split.count);
    std::error_code error;
    if (!fs::exists(first.parent_path() / name, error)) {
      fail(ErrorKind::bad_model, "{}: part {} of {} is missing: {}", where, number + 1, split.count,
           name);
    }
    const Split other = add_file(first.parent_path() / name, data, gguf);
    if (other.number != number || other.count != split.count) {
      fail(ErrorKind::bad_model, "{}: says it is part {} of {}, wanted part {} of {}", name,
           other.number + 1, other.count, number + 1, split.count);
    }
  }
}

}  // namespace

void read_gguf_header(std::span<const std::byte> bytes, const std::string& where, size_t file,
                      Gguf& gguf, Data data) {
  add(parse(bytes, where, file, data), where, file, gguf);
}

void read_gguf_header(std::span<const std::byte> bytes, const std::string& where, size_t file,
                      Gguf& gguf) {
  read_gguf_header(bytes, where, file, gguf, Data::required);
}

Gguf open_gguf(const fs::path& path, Data data) {
  Gguf gguf;
  const Split split = add_file(path, data, gguf);
  if (split.count > 1) add_other_parts(path, split, data, gguf);
  const auto n_tensors = static_cast<int64_t>(gguf.index.tensors.size());
  if (split.n_tensors && *split.n_tensors != n_tensors) {
    fail(ErrorKind::bad_model, "{}: split.tensors.count is {}, the {} files hold {} tensors",
         path.filename().string(), *split.n_tensors, gguf.index.files.size(), n_tensors);
  }
  return gguf;
}

}  // namespace sluice::io
