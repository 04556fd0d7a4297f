#include "sluice/engine/disk_cache/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace sluice::engine {
namespace {

DatabaseError::Why why_of(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return DatabaseError::Why::busy;
    case SQLITE_ERROR:  // a table or column that statements name is not there
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_TOOBIG:
      return DatabaseError::Why::damaged;
    default:
      return DatabaseError::Why::other;
  }
}

[[noreturn]] void fail_with(sqlite3* database, int code) {
  const char* const file = sqlite3_db_filename(database, "main");
  throw DatabaseError(why_of(code),
                      fmt::format("{}: {}", file == nullptr ? "" : file, sqlite3_errmsg(database)));
}

void check(sqlite3* database, int code) {
  if (code != SQLITE_OK) fail_with(database, code);
}

/// SQLite itself would make it readable by others; the files beside it get the same mode.
void make_private(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) {
    throw DatabaseError(DatabaseError::Why::other,
                        fmt::format("{}: cannot be opened: {}", file.string(),
                                    std::generic_category().message(errno)));
  }
  ::close(descriptor);
}

}  // namespace

void Database::Close::operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }
void Statement::Finalize::operator()(sqlite3_stmt* statement) const noexcept {
  sqlite3_finalize(statement);
}

Database::Database(const std::filesystem::path& file, int busy_ms) {
  make_private(file);
  sqlite3* handle = nullptr;
  const int code =
      sqlite3_open_v2(file.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  handle_.reset(handle);
  if (handle == nullptr) fail(ErrorKind::internal, "SQLite has no memory");
  check(handle, code);
  sqlite3_busy_timeout(handle, busy_ms);
  // Not synced at each commit: a row that is lost is a block that is computed again.
  execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -256;"
      "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;");
}

void Database::execute(const char* sql) {
  check(handle_.get(), sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr));
}

int64_t Database::changes() const { return sqlite3_changes(handle_.get()); }

Rows::~Rows() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

bool Rows::next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) fail_with(sqlite3_db_handle(statement_), code);
  return false;
}

int64_t Rows::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Rows::real(int column) const { return sqlite3_column_double(statement_, column); }

std::string Rows::bytes(int column) const {
  const void* const data = sqlite3_column_blob(statement_, column);
  const auto size = static_cast<size_t>(sqlite3_column_bytes(statement_, column));
  return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), size);
}

Statement::Statement(Database& database, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  check(database.handle_.get(), sqlite3_prepare_v3(database.handle_.get(), sql, -1,
                                                   SQLITE_PREPARE_PERSISTENT, &statement, nullptr));
  statement_.reset(statement);
}

void Statement::bind(int at, int64_t value) {
  check(sqlite3_db_handle(statement_.get()), sqlite3_bind_int64(statement_.get(), at, value));
}
void Statement::bind(int at, double value) {
  check(sqlite3_db_handle(statement_.get()), sqlite3_bind_double(statement_.get(), at, value));
}
void Statement::bind(int at, std::string_view bytes) {
  const char* const data = bytes.data() == nullptr ? "" : bytes.data();  // which would be NULL
  check(sqlite3_db_handle(statement_.get()),
        sqlite3_bind_blob64(statement_.get(), at, data, bytes.size(), SQLITE_STATIC));
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.execute("ROLLBACK");
  } catch (const Error&) {  // SQLite has rolled back itself
  }
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace sluice::engine
