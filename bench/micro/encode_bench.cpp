// Values a second that converting encodes, of bfloat16 rows in the cache, per target: the processor's bound on a conversion.
//   encode_bench --benchmark_filter='encode/q4_k' --benchmark_format=json

#include <benchmark/benchmark.h>

#include <array>
#include <random>
#include <vector>

#include "sluice/convert/encode.h"
#include "sluice/convert/half.h"
#include "sluice/kernels/kernels.h"

namespace sluice::convert {
namespace {

using kernels::Format;

constexpr int64_t kRows = 8, kCols = 4096;

void bench_encode(benchmark::State& state, const kernels::Matrix& target) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 0.02F);
  std::vector<uint16_t> source(kRows * kCols);
  for (uint16_t& value : source) value = to_bf16(normal(random));
  kernels::Matrix from = layout_of(Format::bf16, kRows, kCols);
  from.data = reinterpret_cast<const std::byte*>(source.data());
  std::vector<float> row(kCols);
  std::vector<std::byte> data(static_cast<size_t>(target.row_bytes));
  std::vector<std::byte> scales(static_cast<size_t>(target.scale_row_bytes)), biases(scales.size());
  for (auto _ : state) {
    for (int64_t r = 0; r < kRows; ++r) {
      kernels::kernels().dequantize_row(from, r, row.data());
      if (target.group_size > 0) round_to(target.scale_type, row.data(), kCols);
      encode_row(target, row.data(), nullptr, {data.data(), scales.data(), biases.data()});
    }
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kRows * kCols);
}

struct Target {
  const char* name;
  kernels::Matrix matrix;
};

}  // namespace
}  // namespace sluice::convert

int main(int argc, char** argv) {
  using namespace sluice::convert;
  const std::array targets = {
      Target{"affine4", layout_of(Format::affine, 1, kCols, 4, 64, Format::bf16)},
      Target{"mxfp4", layout_of(Format::mxfp4, 1, kCols, 4, 32, Format::bf16)},
      Target{"q8_0", layout_of(Format::q8_0, 1, kCols)},
      Target{"q4_0", layout_of(Format::q4_0, 1, kCols)},
      Target{"q4_k", layout_of(Format::q4_k, 1, kCols)},
      Target{"q6_k", layout_of(Format::q6_k, 1, kCols)},
      Target{"iq4_nl", layout_of(Format::iq4_nl, 1, kCols)},
  };
  for (const Target& target : targets) {
    benchmark::RegisterBenchmark((std::string("encode/") + target.name).c_str(), bench_encode,
                                 target.matrix);
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
