#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "sluice/base/error.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sluice::engine {

/// What SQLite said instead of doing what it was asked. ErrorKind::io.
class DatabaseError : public Error {
 public:
  enum class Why {
    damaged,  ///< the file is no database, or not one that fits the statements
    busy,     ///< another process writes
    other,    ///< the disk: full, read-only, unreadable
  };
  DatabaseError(Why why, const std::string& message) : Error(ErrorKind::io, message), why_(why) {}
  Why why() const { return why_; }

 private:
  Why why_;
};

/// An open SQLite file, in WAL mode. Belongs to one thread at a time.
class Database {
 public:
  /// Makes it when it is missing, for its owner alone (0600). busy_ms: how long a statement waits for other
  /// processes. Throws DatabaseError.
  Database(const std::filesystem::path& file, int busy_ms);

  /// Statements without results. Throws DatabaseError.
  void execute(const char* sql);
  /// Rows that the last statement changed.
  int64_t changes() const;

 private:
  friend class Statement;
  struct Close {
    void operator()(sqlite3* handle) const noexcept;
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

/// The results of a statement, row by row; while it lives the statement is in use.
class Rows {
 public:
  explicit Rows(sqlite3_stmt* statement) : statement_(statement) {}
  ~Rows();
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  /// Goes to the next row, at first to the first; false: there is none. Throws DatabaseError.
  bool next();
  /// Of this row. A column of another type gives 0, or its bytes: the file may hold anything.
  int64_t integer(int column) const;
  double real(int column) const;
  std::string bytes(int column) const;

 private:
  sqlite3_stmt* statement_;
};

/// A prepared statement. Its database outlives it.
class Statement {
 public:
  /// Throws DatabaseError.
  Statement(Database& database, const char* sql);

  /// With these values for its question marks: integers, doubles, and bytes, which outlive the rows.
  template <typename... Values>
  Rows operator()(const Values&... values) {
    int at = 0;
    (bind(++at, values), ...);
    return Rows(statement_.get());
  }
  /// The same where no row is looked at. Throws DatabaseError.
  template <typename... Values>
  void run(const Values&... values) {
    Rows rows = (*this)(values...);
    while (rows.next()) {
    }
  }

 private:
  void bind(int at, int64_t value);
  void bind(int at, double value);
  void bind(int at, std::string_view bytes);

  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// All or nothing: what is not committed when it dies is undone.
class Transaction {
 public:
  /// Waits for other processes' transactions. Throws DatabaseError.
  explicit Transaction(Database& database) : database_(database) {
    database_.execute("BEGIN IMMEDIATE");
  }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  /// Throws DatabaseError; then nothing has changed.
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace sluice::engine
