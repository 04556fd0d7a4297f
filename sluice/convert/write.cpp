#include "sluice/convert/write.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <future>
#include <optional>

#include "sluice/base/digest.h"
#include "sluice/base/error.h"
#include "sluice/base/gmac.h"
#include "sluice/base/thread_pool.h"
#include "sluice/convert/encode.h"
#include "sluice/convert/journal.h"
#include "sluice/convert/repack.h"
#include "sluice/io/file.h"
#include "sluice/kernels/kernels.h"

namespace sluice::convert {
namespace {

using kernels::Matrix;
using residency::FilePlace;
using residency::Weight;

using Clock = std::chrono::steady_clock;

/// A matrix's streams of bytes: values, scales, biases, each with a place and the bytes of a row; 0: it has none.
struct Stream {
  FilePlace place;
  int64_t row_bytes = 0;
};
using Streams = std::array<Stream, 3>;

Streams streams_of(const Weight& weight) {
  const Matrix& m = weight.matrix;
  const bool is_affine = m.format == kernels::Format::affine;
  return {{{weight.data, m.row_bytes},
           {weight.scales, m.scale_row_bytes},
           {weight.biases, is_affine ? m.scale_row_bytes : 0}}};
}

int64_t bytes_of_row(const Weight& weight) {
  int64_t bytes = 0;
  for (const Stream& stream : streams_of(weight)) bytes += stream.row_bytes;
  return bytes;
}

/// Some rows in memory, stream by stream.
struct Rows {
  std::array<std::vector<std::byte>, 3> streams;

  void resize(const Weight& weight, int64_t n) {
    const Streams all = streams_of(weight);
    for (size_t i = 0; i < all.size(); ++i)
      streams[i].resize(static_cast<size_t>(n * all[i].row_bytes));
  }
  Matrix matrix(const Weight& weight, int64_t n) const {
    Matrix m = weight.matrix;
    m.rows = n;
    m.data = streams[0].data();
    m.scales = streams[1].empty() ? nullptr : streams[1].data();
    m.biases = streams[2].empty() ? nullptr : streams[2].data();
    return m;
  }
};

/// Checksums of a product's streams, each in its order in the file, whatever the pieces were.
class Tags {
 public:
  explicit Tags(const std::string& name) : name_(name) {
    for (int i = 0; i < 3; ++i)
      tags_.emplace_back(sha256(fmt::format("sluice convert{} {}", i, name)));
  }
  void update(const Rows& rows) {
    for (size_t i = 0; i < tags_.size(); ++i) {
      if (!rows.streams[i].empty()) tags_[i].update(rows.streams[i]);
    }
  }
  std::string finish() {
    std::string hex;
    for (Gmac& tag : tags_) {
      for (const char c : tag.finish()) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
    }
    return hex;
  }

 private:
  std::string name_;
  std::vector<Gmac> tags_;
};

/// Whether the source's bytes are the result's.
bool is_copy(const Product& product, const Weight& source) {
  const Matrix &a = source.matrix, &b = product.target.matrix;
  return a.format == b.format && a.bits == b.bits && a.group_size == b.group_size &&
         a.row_bytes == b.row_bytes && a.scale_row_bytes == b.scale_row_bytes &&
         (a.group_size == 0 || a.scale_type == b.scale_type ||
          a.format != kernels::Format::affine) &&
         product.change.added == 0;
}

/// Rows of one product that are read, encoded and written together.
struct Piece {
  size_t product = 0;                      ///< in the plan
  const Weight* source = nullptr;          ///< null: the product's own values
  int64_t first = 0;                       ///< the source's first row in the product
  int64_t begin = 0, n = 0;                ///< which of the source's rows
  bool is_first = false, is_last = false;  ///< of its product
};

/// read(items[i], buffers[i % 2]), then use(i, buffers[i % 2]), for each i; while one is used, the next one is read.
template <class Item, class Read, class Use>
void read_ahead(const std::vector<Item>& items, std::array<Rows, 2>& buffers, const Read& read,
                const Use& use) {
  std::future<void> reading;  // waited for before the items go
  const auto begin = [&](size_t i) {
    if (i == items.size()) return;
    reading = std::async(std::launch::async, [&, i] { read(items[i], buffers[i % 2]); });
  };
  begin(0);
  for (size_t i = 0; i < items.size(); ++i) {
    reading.get();
    begin(i + 1);
    use(i, buffers[i % 2]);
  }
}

/// While a piece is encoded, the next one is read and the one before is written.
class Writer {
 public:
  Writer(const Plan& plan, const std::filesystem::path& directory, const WriteOptions& options)
      : plan_(plan), directory_(directory), options_(options), pool_(options.n_threads) {
    for (const auto& path : plan.sources) {
      sources_.push_back(io::File::open(path));
      stamps_.push_back(sources_.back().stamp());
    }
    for (const PlannedFile& file : plan.files)
      files_.push_back(io::File::open_to_write(directory / file.name));
  }

  Written run();

 private:
  void begin_files();
  std::vector<Piece> pieces_from(size_t product) const;
  void read_piece(const Piece& piece, Rows& in) const;
  void encode_piece(const Piece& piece, Rows& in, Rows& out);
  void encode_rows(const Product& product, const Matrix& from, Rows& out);
  void write_piece(const Piece& piece, const Rows& rows, Journal& journal);
  void write_all(Journal& journal);
  void keep(const Journal& journal);
  struct Part {
    size_t product = 0;
    int64_t begin = 0, n = 0;  ///< which of its rows
  };
  void read_back(const Part& part, Rows& rows) const;
  void check(const Journal& journal);
  void advance(Progress::Stage stage, uint64_t bytes);

  int64_t rows_at_once(int64_t row_bytes) const {
    const auto buffers = static_cast<int64_t>(options_.buffers.count);
    return std::max<int64_t>(1, buffers / 4 / std::max<int64_t>(1, row_bytes));
  }
  const Product& product_of(const Piece& piece) const { return plan_.products[piece.product]; }

  const Plan& plan_;
  std::filesystem::path directory_;
  const WriteOptions& options_;
  ThreadPool pool_;
  std::vector<io::File> sources_, files_;
  std::vector<io::FileStamp> stamps_;
  std::array<Rows, 2> read_, encoded_;  // one of each is at hand, the other read or written
  uint64_t done_ = 0;
  Clock::time_point next_keep_;
  std::optional<Tags> tags_;  // of the product that is written
};

void Writer::advance(Progress::Stage stage, uint64_t bytes) {
  done_ += bytes;
  if (options_.progress) options_.progress({stage, Bytes{done_}, Bytes{plan_.bytes()}});
}

void Writer::begin_files() {
  for (size_t i = 0; i < files_.size(); ++i) {
    files_[i].resize(plan_.files[i].bytes);
    files_[i].write(0, std::as_bytes(std::span(plan_.files[i].header)));
  }
}

std::vector<Piece> Writer::pieces_from(size_t product) const {
  std::vector<Piece> pieces;
  for (; product < plan_.products.size(); ++product) {
    const Product& made = plan_.products[product];
    const size_t before = pieces.size();
    int64_t first = 0;
    for (const Weight& source : made.sources) {
      const int64_t at_once =
          rows_at_once(std::max(bytes_of_row(source), bytes_of_row(made.target)));
      for (int64_t begin = 0; begin < source.rows(); begin += at_once)
        pieces.push_back(
            {product, &source, first, begin, std::min(at_once, source.rows() - begin)});
      first += source.rows();
    }
    if (!made.values.empty() || pieces.size() == before) pieces.push_back({.product = product});
    pieces[before].is_first = true;
    pieces.back().is_last = true;
  }
  return pieces;
}

void Writer::read_piece(const Piece& piece, Rows& in) const {
  if (piece.source == nullptr) return;
  const Product& product = product_of(piece);
  in.resize(*piece.source, piece.n);
  const Streams streams = streams_of(*piece.source);
  for (size_t i = 0; i < streams.size(); ++i) {
    const FilePlace place = streams[i].place;
    const int64_t row_bytes = streams[i].row_bytes;
    if (row_bytes == 0) continue;
    const io::File& file = sources_[place.file];
    const auto at = [&](int64_t row) {
      return place.offset + static_cast<uint64_t>(row * row_bytes);
    };
    const std::span<std::byte> out(in.streams[i]);
    if (product.change.rows == Change::Rows::kept) {
      file.read(at(piece.begin), out);
      file.expect(at(piece.begin + piece.n), out.size());
      continue;
    }
    const auto size = static_cast<size_t>(row_bytes);
    for (int64_t r = 0; r < piece.n; ++r) {
      const int64_t row = source_row(product, piece.first + piece.begin + r) - piece.first;
      file.read(at(row), out.subspan(static_cast<size_t>(r) * size, size));
    }
  }
}

void Writer::encode_rows(const Product& product, const Matrix& from, Rows& out) {
  const Matrix& as = product.target.matrix;
  const int64_t n = from.rows;
  const float* importance = nullptr;
  if (options_.importance != nullptr) {
    const auto found = options_.importance->find(product.column_path);
    if (found != options_.importance->end()) importance = found->second.data();
  }
  const auto row_of = [](std::vector<std::byte>& stream, int64_t row, int64_t row_bytes) {
    return stream.empty() ? nullptr : stream.data() + row * row_bytes;
  };
  const int64_t grain = std::max<int64_t>(1, std::min<int64_t>(64, n / (4 * pool_.size())));
  pool_.parallel_for(n, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(as.cols));
    for (int64_t r = begin; r < end; ++r) {
      const EncodedRow at = {row_of(out.streams[0], r, as.row_bytes),
                             row_of(out.streams[1], r, as.scale_row_bytes),
                             row_of(out.streams[2], r, as.scale_row_bytes)};
      if (product.repacked) {
        repack_row(from, r, at);
        continue;
      }
      kernels::kernels().dequantize_row(from, r, row.data());
      if (product.change.added != 0) {
        for (float& value : row) value += product.change.added;
      }
      if (as.group_size > 0) round_to(as.scale_type, row.data(), as.cols);
      encode_row(as, row.data(), importance, at);
    }
  });
}

void Writer::encode_piece(const Piece& piece, Rows& in, Rows& out) {
  const Product& product = product_of(piece);
  if (piece.source == nullptr) {
    const auto bytes = std::as_bytes(std::span(product.values));
    out = {};
    out.streams[0].assign(bytes.begin(), bytes.end());
  } else if (is_copy(product, *piece.source)) {
    std::swap(out, in);
  } else {
    out.resize(product.target, piece.n);
    encode_rows(product, in.matrix(*piece.source, piece.n), out);
  }
}

void Writer::write_piece(const Piece& piece, const Rows& rows, Journal& journal) {
  const Product& product = product_of(piece);
  if (piece.is_first) tags_.emplace(product.name);
  tags_->update(rows);
  const Streams streams = streams_of(product.target);
  for (size_t i = 0; i < streams.size(); ++i) {
    const auto [place, row_bytes] = streams[i];
    if (rows.streams[i].empty()) continue;
    const int64_t row = piece.source == nullptr ? 0 : piece.first + piece.begin;
    files_[place.file].write(place.offset + static_cast<uint64_t>(row * row_bytes),
                             rows.streams[i]);
  }
  if (piece.is_last) journal.tags.push_back(tags_->finish());
}

void Writer::write_all(Journal& journal) {
  const std::vector<Piece> pieces = pieces_from(journal.tags.size());
  std::future<void> writing;  // waited for before the pieces go
  const auto read = [this](const Piece& piece, Rows& in) { read_piece(piece, in); };
  read_ahead(pieces, read_, read, [&](size_t i, Rows& in) {
    const Piece& piece = pieces[i];
    Rows& out = encoded_[i % 2];
    encode_piece(piece, in, out);
    uint64_t bytes = 0;
    for (const auto& stream : out.streams) bytes += stream.size();
    if (writing.valid()) writing.get();
    writing = std::async(std::launch::async,
                         [this, &piece, &out, &journal] { write_piece(piece, out, journal); });
    advance(Progress::Stage::writing, bytes);
    if (i + 1 < pieces.size() && (!piece.is_last || Clock::now() < next_keep_)) return;
    writing.get();
    keep(journal);
  });
}

void Writer::keep(const Journal& journal) {
  const auto begin = Clock::now();
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i].stamp() != stamps_[i])
      fail(ErrorKind::io, "{}", io::changed_while_in_use(sources_[i].path().string()));
  }
  for (const io::File& file : files_) file.sync(true);
  write_journal(directory_ / kJournal, journal);
  const auto end = Clock::now();
  const bool each_time = options_.journal_every == std::chrono::milliseconds(0);
  next_keep_ =
      each_time ? end : end + std::max<Clock::duration>(options_.journal_every, 10 * (end - begin));
}

void Writer::read_back(const Part& part, Rows& rows) const {
  const Weight& target = plan_.products[part.product].target;
  rows.resize(target, part.n);
  const Streams streams = streams_of(target);
  for (size_t i = 0; i < streams.size(); ++i) {
    const auto [place, row_bytes] = streams[i];
    if (row_bytes > 0) {
      const auto skipped = static_cast<uint64_t>(part.begin * row_bytes);
      files_[place.file].read(place.offset + skipped, rows.streams[i]);
    }
  }
}

void Writer::check(const Journal& journal) {
  done_ = 0;
  std::vector<Part> parts;
  for (size_t p = 0; p < plan_.products.size(); ++p) {
    const Weight& target = plan_.products[p].target;
    const int64_t at_once = rows_at_once(bytes_of_row(target));
    for (int64_t begin = 0; begin < target.rows(); begin += at_once)
      parts.push_back({p, begin, std::min(at_once, target.rows() - begin)});
  }
  const auto read = [this](const Part& part, Rows& rows) { read_back(part, rows); };
  read_ahead(parts, read_, read, [&](size_t i, Rows& rows) {
    const auto& [p, begin, n] = parts[i];
    const Product& product = plan_.products[p];
    if (begin == 0) tags_.emplace(product.name);
    tags_->update(rows);
    advance(Progress::Stage::checking, static_cast<uint64_t>(n * bytes_of_row(product.target)));
    if (begin + n == product.target.rows() && tags_->finish() != journal.tags[p]) {
      std::filesystem::remove(directory_ / kJournal);
      fail(ErrorKind::io, "{}: {} is not what was written; the disk may be failing, convert again",
           plan_.files[product.target.data.file].name, product.name);
    }
  });
}

Written Writer::run() {
  const std::string plan = fingerprint(plan_, options_.settings);
  Journal journal = read_journal(directory_ / kJournal, plan);
  if (journal.tags.size() > plan_.products.size()) journal.tags.clear();
  begin_files();
  Written written;
  for (size_t p = 0; p < journal.tags.size(); ++p) {
    const Weight& target = plan_.products[p].target;
    written.resumed.count += static_cast<uint64_t>(target.rows() * bytes_of_row(target));
  }
  done_ = written.resumed.count;
  keep(journal);
  write_all(journal);
  check(journal);
  std::filesystem::remove(directory_ / kJournal);
  return written;
}

}  // namespace

Written write_plan(const Plan& plan, const std::filesystem::path& directory,
                   const WriteOptions& options) {
  return Writer(plan, directory, options).run();
}

}  // namespace sluice::convert
