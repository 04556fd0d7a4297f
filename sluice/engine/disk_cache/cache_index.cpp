#include "sluice/engine/disk_cache/cache_index.h"

#include <algorithm>

namespace sluice::engine {
namespace {

/// Another number, another table: an index of another version is as good as none.
constexpr int64_t kVersion = 1;

constexpr const char* kSchema = R"sql(
CREATE TABLE IF NOT EXISTS stretch(
  id INTEGER PRIMARY KEY, chain BLOB NOT NULL UNIQUE, model BLOB NOT NULL, model_name BLOB NOT NULL,
  label BLOB NOT NULL, position INTEGER NOT NULL, tokens BLOB NOT NULL, last_use INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS stretch_by_use ON stretch(last_use, position DESC);
CREATE TABLE IF NOT EXISTS block(
  name BLOB PRIMARY KEY, stretch INTEGER NOT NULL, part INTEGER NOT NULL, bytes INTEGER NOT NULL,
  tag BLOB NOT NULL, UNIQUE(stretch, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS written(day INTEGER PRIMARY KEY, bytes INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS number(name BLOB PRIMARY KEY, value REAL NOT NULL);
)sql";

std::string_view bytes_of(std::span<const int32_t> tokens) {
  return {reinterpret_cast<const char*>(tokens.data()), tokens.size_bytes()};
}

void make_tables(Database& database) {
  int64_t version = 0;
  {
    Statement ask(database, "PRAGMA user_version");
    Rows rows = ask();
    if (rows.next()) version = rows.integer(0);
  }
  if (version == kVersion) return;
  if (version != 0)
    throw DatabaseError(DatabaseError::Why::damaged,
                        fmt::format("the index is of version {}, not {}", version, kVersion));
  Transaction transaction(database);
  database.execute(kSchema);
  database.execute(fmt::format("PRAGMA user_version = {}", kVersion).c_str());
  transaction.commit();
}

}  // namespace

struct CacheIndex::Statements {
  explicit Statements(Database& db)
      : find(db, "SELECT id, last_use, tokens FROM stretch WHERE chain = ?"),
        blocks(db, "SELECT part, name, bytes, tag FROM block WHERE stretch = ? ORDER BY part"),
        add_stretch(db,
                    "INSERT OR IGNORE INTO stretch(chain, model, model_name, label, position, "
                    "tokens, last_use) VALUES(?, ?, ?, ?, ?, ?, ?)"),
        add_block(db,
                  "INSERT OR IGNORE INTO block(stretch, part, name, bytes, tag) "
                  "VALUES(?, ?, ?, ?, ?)"),
        use(db, "UPDATE stretch SET last_use = ? WHERE id = ?"),
        knows(db, "SELECT 1 FROM block WHERE name = ?"),
        remove_block(db, "DELETE FROM block WHERE name = ?"),
        remove_blocks(db, "DELETE FROM block WHERE stretch = ?"),
        remove_stretch(db, "DELETE FROM stretch WHERE id = ?"),
        // Who uses a stretch uses all before it, so the last of the oldest has none behind it.
        oldest(db, "SELECT id FROM stretch ORDER BY last_use, position DESC LIMIT 1"),
        labelled(db, "SELECT id FROM stretch WHERE label = ?"),
        every(db, "SELECT id FROM stretch"),
        bytes(db, "SELECT COALESCE(SUM(bytes), 0) FROM block"),
        written(db, "SELECT bytes FROM written WHERE day = ?"),
        add_written(db,
                    "INSERT INTO written(day, bytes) VALUES(?1, ?2) "
                    "ON CONFLICT(day) DO UPDATE SET bytes = bytes + ?2"),
        forget_written(db, "DELETE FROM written WHERE day < ?"),
        number(db, "SELECT value FROM number WHERE name = ?"),
        set_number(db,
                   "INSERT INTO number(name, value) VALUES(?1, ?2) "
                   "ON CONFLICT(name) DO UPDATE SET value = ?2"),
        entries(db,
                "SELECT s.model_name, s.label, COUNT(DISTINCT s.id), "
                "MAX(s.position + LENGTH(s.tokens) / 4), "
                "COALESCE(SUM(b.bytes), 0), MAX(s.last_use) FROM stretch s "
                "LEFT JOIN block b ON b.stretch = s.id "
                "GROUP BY s.model, s.label ORDER BY MAX(s.last_use) DESC"),
        all(db,
            "SELECT s.chain, b.part, b.name, b.bytes, b.tag FROM block b "
            "JOIN stretch s ON s.id = b.stretch"),
        check(db, "PRAGMA integrity_check(1)") {}

  Statement find, blocks, add_stretch, add_block, use, knows, remove_block, remove_blocks,
      remove_stretch, oldest, labelled, every, bytes, written, add_written, forget_written, number,
      set_number, entries, all, check;
};

void CacheIndex::Free::operator()(Statements* statements) const noexcept { delete statements; }

CacheIndex::CacheIndex(const std::filesystem::path& file, int busy_ms) : database_(file, busy_ms) {
  make_tables(database_);
  sql_.reset(new Statements(database_));
}

std::optional<StoredStretch> CacheIndex::find(std::string_view chain,
                                              std::span<const int32_t> tokens) {
  StoredStretch found;
  {
    Rows rows = sql_->find(chain);
    if (!rows.next() || rows.bytes(2) != bytes_of(tokens)) return std::nullopt;
    found.id = rows.integer(0);
    found.last_use = rows.integer(1);
  }
  Rows rows = sql_->blocks(found.id);
  while (rows.next())
    found.blocks.push_back(
        {rows.integer(0), rows.bytes(1), static_cast<uint64_t>(rows.integer(2)), rows.bytes(3)});
  return found;
}

bool CacheIndex::add(const StretchKey& stretch, const StoredBlock& block) {
  Transaction transaction(database_);
  sql_->add_stretch.run(std::string_view(stretch.chain), std::string_view(stretch.model),
                        stretch.model_name, stretch.label, stretch.position,
                        bytes_of(stretch.tokens), stretch.used_at);
  const auto entered = find(stretch.chain, stretch.tokens);
  if (!entered) return false;  // a row with other tokens is in its place: damage
  sql_->add_block.run(entered->id, block.part, std::string_view(block.name),
                      static_cast<int64_t>(block.bytes), std::string_view(block.tag));
  const bool added = database_.changes() == 1;
  transaction.commit();
  return added;
}

void CacheIndex::use(int64_t stretch, int64_t used_at) { sql_->use.run(used_at, stretch); }

bool CacheIndex::knows(std::string_view name) {
  Rows rows = sql_->knows(name);
  return rows.next();
}

void CacheIndex::remove_block(std::string_view name) { sql_->remove_block.run(name); }

std::vector<std::string> CacheIndex::take_blocks(int64_t stretch) {
  std::vector<std::string> names;
  {
    Rows rows = sql_->blocks(stretch);
    while (rows.next()) names.push_back(rows.bytes(1));
  }
  sql_->remove_blocks.run(stretch);
  sql_->remove_stretch.run(stretch);
  return names;
}

std::optional<std::vector<std::string>> CacheIndex::remove_oldest() {
  Transaction transaction(database_);
  int64_t id = 0;
  {
    Rows rows = sql_->oldest();
    if (!rows.next()) return std::nullopt;
    id = rows.integer(0);
  }
  std::vector<std::string> names = take_blocks(id);
  transaction.commit();
  return names;
}

std::vector<std::string> CacheIndex::remove_labels(std::span<const std::string> labels) {
  Transaction transaction(database_);
  std::vector<int64_t> ids;
  const auto take = [&](Rows&& rows) {
    while (rows.next()) ids.push_back(rows.integer(0));
  };
  if (labels.empty()) take(sql_->every());
  for (const std::string& label : labels) take(sql_->labelled(std::string_view(label)));
  std::vector<std::string> names;
  for (const int64_t id : ids) {
    std::vector<std::string> more = take_blocks(id);
    names.insert(names.end(), more.begin(), more.end());
  }
  transaction.commit();
  return names;
}

Bytes CacheIndex::bytes() {
  Rows rows = sql_->bytes();
  return {rows.next() ? static_cast<uint64_t>(std::max<int64_t>(0, rows.integer(0))) : 0};
}

Bytes CacheIndex::written_on(int64_t day) {
  Rows rows = sql_->written(day);
  return {rows.next() ? static_cast<uint64_t>(std::max<int64_t>(0, rows.integer(0))) : 0};
}

void CacheIndex::add_written(int64_t day, Bytes bytes) {
  sql_->forget_written.run(day);
  sql_->add_written.run(day, static_cast<int64_t>(bytes.count));
}

double CacheIndex::number(std::string_view name) {
  Rows rows = sql_->number(name);
  return rows.next() ? rows.real(0) : 0;
}

void CacheIndex::set_number(std::string_view name, double value) {
  sql_->set_number.run(name, value);
}

std::vector<CacheEntry> CacheIndex::entries() {
  std::vector<CacheEntry> entries;
  Rows rows = sql_->entries();
  while (rows.next()) {
    entries.push_back({rows.bytes(0), rows.bytes(1), rows.integer(2), rows.integer(3),
                       Bytes{static_cast<uint64_t>(rows.integer(4))}, rows.integer(5)});
  }
  return entries;
}

void CacheIndex::for_each(
    const std::function<void(const std::string& chain, const StoredBlock&)>& tell) {
  Rows rows = sql_->all();
  while (rows.next()) {
    tell(rows.bytes(0),
         {rows.integer(1), rows.bytes(2), static_cast<uint64_t>(rows.integer(3)), rows.bytes(4)});
  }
}

std::string CacheIndex::check() {
  Rows rows = sql_->check();
  const std::string answer = rows.next() ? rows.bytes(0) : "";
  return answer == "ok" ? "" : answer;
}

}  // namespace sluice::engine
