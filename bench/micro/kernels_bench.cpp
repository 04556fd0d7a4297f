// GB/s of stored weights and GMAC/s of the matrix product, per format and number of tokens, and GB/s of
// keys and values in attention. $SLUICE_ISA chooses the instruction set. Rows are split among threads.
//   kernels_bench --benchmark_filter='matmul/q4_k/.*'

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <vector>

#include "sluice/kernels/kernels.h"
#include "sluice/kernels/testing/stored_matrix.h"

namespace sluice::kernels {
namespace {

constexpr int64_t kCols = 2048;
constexpr int64_t kRowsFromMemory = 131072;  // larger than caches, read by one token
constexpr int64_t kRowsInCache = 768;
constexpr float kRefinedClip = 3.25F;

using benchmark::Counter;

void bench_matmul(benchmark::State& state, const Storage& storage) {
  static StoredMatrix stored;
  static std::vector<float> x, y;
  const int64_t n_tokens = state.range(0);
  const int64_t rows = state.range(1);
  if (state.thread_index() == 0) {
    std::mt19937 random(1);
    stored = random_matrix(storage, rows, kCols, random);
    x = random_floats(n_tokens * kCols, random);
    y.assign(static_cast<size_t>(n_tokens * rows), 0.0F);
  }
  const int64_t share = rows / state.threads(), begin = share * state.thread_index();
  for (auto _ : state) {
    kernels().matmul(stored.matrix, begin, begin + share, x.data(), kCols, n_tokens, y.data(),
                     rows);
    benchmark::ClobberMemory();
  }
  const auto runs = static_cast<double>(state.iterations());
  const auto bytes = static_cast<double>(stored.matrix.row_bytes + stored.matrix.scale_row_bytes);
  const auto macs = static_cast<double>(share * kCols * n_tokens);
  state.counters["GB/s"] =
      Counter(runs * static_cast<double>(share) * bytes * 1e-9, Counter::kIsRate);
  state.counters["GMAC/s"] = Counter(runs * macs * 1e-9, Counter::kIsRate);
}

/// The same from 8-bit activations.
void bench_int8(benchmark::State& state, const Storage& storage, float clip) {
  static StoredMatrix stored;
  static std::vector<std::byte> rows;
  static std::vector<const std::byte*> x;
  static std::vector<float> y;
  const int64_t n_tokens = state.range(0);
  const int64_t n_rows = state.range(1);
  const int64_t cols = state.range(2);
  const Int8Row layout{cols};
  if (state.thread_index() == 0) {
    std::mt19937 random(1);
    stored = random_matrix(storage, n_rows, cols, random);
    rows.resize(static_cast<size_t>(n_tokens * layout.bytes()));
    x.clear();
    for (int64_t t = 0; t < n_tokens; ++t) {
      std::byte* row = rows.data() + t * layout.bytes();
      kernels().quantize(random_floats(cols, random).data(), 0, cols, cols, clip, row);
      x.push_back(row);
    }
    y.assign(static_cast<size_t>(n_tokens * n_rows), 0.0F);
  }
  std::vector<std::byte> scratch(static_cast<size_t>(layout.scratch_bytes()));
  const int64_t share = n_rows / state.threads(), begin = share * state.thread_index();
  for (auto _ : state) {
    kernels().matmul_int8(stored.matrix, begin, begin + share, x.data(), n_tokens, y.data(), n_rows,
                          scratch.data());
    benchmark::ClobberMemory();
  }
  const auto runs = static_cast<double>(state.iterations());
  const auto bytes =
      static_cast<double>(stored.matrix.row_bytes + stored.matrix.scale_row_bytes *
                                                        (storage.format == Format::affine ? 2 : 1));
  const auto macs = static_cast<double>(share * cols * n_tokens);
  state.counters["GB/s"] =
      Counter(runs * static_cast<double>(share) * bytes * 1e-9, Counter::kIsRate);
  state.counters["GMAC/s"] = Counter(runs * macs * 1e-9, Counter::kIsRate);
}

/// Attention of `group` query heads that share a key head, for the last n_tokens of `positions`, over several
/// key heads in turn, so that a single token's keys and values come from memory. A thread has its own.
void bench_attend(benchmark::State& state) {
  constexpr int64_t kTileQueries = 32, kMemory = int64_t{1} << 26;
  const int64_t n_tokens = state.range(0), positions = state.range(1), group = state.range(2),
                head_dim = state.range(3);
  const int64_t head_size =
      (positions + kKvBlockTokens - 1) / kKvBlockTokens * kKvBlockTokens * head_dim;
  const int64_t n_heads = n_tokens > 1 ? 1 : std::max<int64_t>(1, kMemory / (4 * head_size));
  std::mt19937 random(1);
  const auto q = random_floats(n_tokens * group * head_dim, random);
  const auto floats = random_floats(head_size, random);
  std::vector<uint16_t> kv(static_cast<size_t>(2 * n_heads * head_size));
  for (int64_t i = 0; i < 2 * n_heads; ++i)
    kernels().store_kv(floats.data(), head_size, KvType::f16, kv.data() + i * head_size);

  const int64_t tile_tokens = std::min(n_tokens, std::max<int64_t>(1, kTileQueries / group));
  const int64_t stride = kPartHeader + head_dim, tile_queries = tile_tokens * group;
  std::vector<float> parts(static_cast<size_t>(tile_queries * stride)), states(parts.size());
  std::vector<float> out(q.size());
  std::vector<Visible> visible(static_cast<size_t>(tile_queries));
  AttendTask task;
  task.visible = visible.data();
  task.head_dim = static_cast<int32_t>(head_dim);
  task.scale = 0.1F;
  task.parts = parts.data();
  const auto attend_tile = [&](int64_t t, int64_t head) {
    const int64_t n = std::min(tile_tokens, n_tokens - t), first = positions - n_tokens + t;
    task.n_queries = n * group;
    task.q = q.data() + t * group * head_dim;
    std::fill(states.begin(), states.end(), 0.0F);
    for (int64_t i = 0; i < task.n_queries; ++i) states[static_cast<size_t>(i * stride)] = -1e30F;
    for (int64_t base = 0; base < first + n; base += kKvBlockTokens) {
      for (int64_t i = 0; i < task.n_queries; ++i) {
        const int64_t end = std::clamp<int64_t>(first + i / group + 1 - base, 0, kKvBlockTokens);
        visible[static_cast<size_t>(i)] = {0, static_cast<int32_t>(end)};
      }
      task.k = kv.data() + 2 * head * head_size + base * head_dim;
      task.v = kv.data() + (2 * head + 1) * head_size + base * head_dim;
      task.next = base + kKvBlockTokens < first + n
                      ? static_cast<const uint16_t*>(task.k) + kKvBlockTokens * head_dim
                      : nullptr;
      kernels().attend(task);
      for (int64_t i = 0; i < task.n_queries; ++i)
        kernels().join_part(parts.data() + i * stride, task.head_dim, states.data() + i * stride);
    }
    for (int64_t i = 0; i < task.n_queries; ++i) {
      kernels().finish_part(states.data() + i * stride, nullptr, task.head_dim,
                            out.data() + (t * group + i) * head_dim);
    }
  };
  int64_t head = 0;
  for (auto _ : state) {
    for (int64_t t = 0; t < n_tokens; t += tile_tokens) attend_tile(t, head);
    head = (head + 1) % n_heads;
    benchmark::ClobberMemory();
  }
  const auto runs = static_cast<double>(state.iterations());
  const auto seen = static_cast<double>(n_tokens * (2 * positions - n_tokens + 1) / 2);
  const double macs = runs * seen * static_cast<double>(2 * group * head_dim);
  if (n_tokens == 1) {
    const auto bytes = runs * static_cast<double>(positions * head_dim * 4);
    state.counters["GB/s"] = Counter(bytes * 1e-9, Counter::kIsRate);
  }
  state.counters["GMAC/s"] = Counter(macs * 1e-9, Counter::kIsRate);
}

void bench_gated(benchmark::State& state, Activation act) {
  std::mt19937 random(1);
  const auto gate = random_floats(4096, random), up = random_floats(4096, random);
  std::vector<float> y(4096);
  for (auto _ : state) {
    kernels().gated(act, 7.0F, gate.data(), up.data(), 4096, y.data());
    benchmark::ClobberMemory();
  }
  state.counters["Gelement/s"] =
      Counter(static_cast<double>(state.iterations()) * 4096e-9, Counter::kIsRate);
}

void register_all() {
  for (const Storage& storage : all_storages()) {
    benchmark::RegisterBenchmark(("matmul/" + storage.name).c_str(), bench_matmul, storage)
        ->ArgNames({"tokens", "rows"})
        ->Args({1, kRowsFromMemory})
        ->Args({1, kRowsInCache})
        ->Args({4, kRowsInCache})
        ->Args({64, kRowsInCache});
    if (!has_int8(storage.format)) continue;
    benchmark::RegisterBenchmark(("int8/" + storage.name).c_str(), bench_int8, storage, 0.0F)
        ->ArgNames({"tokens", "rows", "cols"})
        ->Args({1, kRowsFromMemory, kCols})
        ->Args({1, kRowsFromMemory, 768})
        ->Args({1, kRowsInCache, kCols})
        ->Args({1, kRowsInCache, 768})
        ->Args({2, kRowsInCache, kCols})
        ->Args({3, kRowsInCache, kCols})
        ->Args({8, kRowsInCache, kCols})
        ->Args({64, kRowsInCache, kCols})
        ->Args({256, kRowsInCache, kCols});
    benchmark::RegisterBenchmark(("refined/" + storage.name).c_str(), bench_int8, storage,
                                 kRefinedClip)
        ->ArgNames({"tokens", "rows", "cols"})
        ->Args({1, kRowsInCache, kCols})
        ->Args({8, kRowsInCache, kCols})
        ->Args({64, kRowsInCache, kCols});
  }
  benchmark::RegisterBenchmark("attend", bench_attend)
      ->ArgNames({"tokens", "positions", "group", "head_dim"})
      ->ArgsProduct({{1}, {256, 8192}, {1, 2, 4, 8}, {64, 128, 256}})
      ->ArgsProduct({{512}, {512, 4096}, {2, 4}, {64, 128, 256}});
  benchmark::RegisterBenchmark("gated/silu", bench_gated, Activation::silu);
  benchmark::RegisterBenchmark("gated/gelu", bench_gated, Activation::gelu);
  benchmark::RegisterBenchmark("gated/gelu_tanh", bench_gated, Activation::gelu_tanh);
}

}  // namespace
}  // namespace sluice::kernels

int main(int argc, char** argv) {
  sluice::kernels::register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::AddCustomContext("isa", std::string(sluice::kernels::kernels().isa));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
