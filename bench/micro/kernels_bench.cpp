// GB/s of stored weights and GMAC/s of the matrix product, per format and number of tokens, and GB/s of
// keys and values in attention. $SLUICE_ISA chooses the instruction set. Rows are split among threads.
//   kernels_bench --benchmark_filter='matmul/q4_k/.*'

#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "sluice/kernels/kernels.h"
#include "sluice/kernels/stored_matrix.h"

namespace sluice::kernels {
namespace {

constexpr int64_t kCols = 2048;
constexpr int64_t kRowsFromMemory = 16384;  // larger than most caches, read by one token
constexpr int64_t kRowsInCache = 768;

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
void bench_int8(benchmark::State& state, const Storage& storage) {
  static StoredMatrix stored;
  static std::vector<std::byte> rows;
  static std::vector<const std::byte*> x;
  static std::vector<float> y;
  const int64_t n_tokens = state.range(0);
  const int64_t n_rows = state.range(1);
  constexpr Int8Row layout{kCols};
  if (state.thread_index() == 0) {
    std::mt19937 random(1);
    stored = random_matrix(storage, n_rows, kCols, random);
    rows.resize(static_cast<size_t>(n_tokens * layout.bytes()));
    x.clear();
    for (int64_t t = 0; t < n_tokens; ++t) {
      std::byte* row = rows.data() + t * layout.bytes();
      kernels().quantize(random_floats(kCols, random).data(), 0, kCols, kCols, row);
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
  const auto macs = static_cast<double>(share * kCols * n_tokens);
  state.counters["GB/s"] =
      Counter(runs * static_cast<double>(share) * bytes * 1e-9, Counter::kIsRate);
  state.counters["GMAC/s"] = Counter(runs * macs * 1e-9, Counter::kIsRate);
}

void bench_attend(benchmark::State& state) {
  const int64_t positions = state.range(0), head_dim = state.range(1);
  std::mt19937 random(1);
  const auto q = random_floats(head_dim, random);
  const auto floats = random_floats(positions * head_dim, random);
  std::vector<uint16_t> half(floats.size());
  kernels().store_kv(floats.data(), positions * head_dim, KvType::f16, half.data());
  std::vector<const void*> blocks;
  for (int64_t p = 0; p < positions; p += kKvBlockTokens)
    blocks.push_back(half.data() + p * head_dim);
  std::vector<float> out(q.size());
  AttendTask task;
  task.q = q.data();
  task.k_blocks = task.v_blocks = blocks.data();
  task.last = positions - 1;
  task.head_dim = static_cast<int32_t>(head_dim);
  task.scale = 0.1F;
  task.out = out.data();
  for (auto _ : state) {
    kernels().attend(task);
    benchmark::ClobberMemory();
  }
  const auto bytes = static_cast<double>(state.iterations() * positions * head_dim * 4);
  state.counters["GB/s"] = Counter(bytes * 1e-9, Counter::kIsRate);
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
    benchmark::RegisterBenchmark(("int8/" + storage.name).c_str(), bench_int8, storage)
        ->ArgNames({"tokens", "rows"})
        ->Args({1, kRowsFromMemory})
        ->Args({1, kRowsInCache})
        ->Args({2, kRowsInCache})
        ->Args({3, kRowsInCache})
        ->Args({8, kRowsInCache})
        ->Args({64, kRowsInCache})
        ->Args({256, kRowsInCache});
  }
  benchmark::RegisterBenchmark("attend", bench_attend)
      ->ArgNames({"positions", "head_dim"})
      ->ArgsProduct({{256, 4096}, {64, 128, 256}});
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
