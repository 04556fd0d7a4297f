#include "sluice/convert/collect.h"

#include <mlx/device.h>

#include <deque>
#include <mutex>
#include <unordered_map>

#include "sluice/convert/source_model.h"
#include "sluice/convert/to_gguf.h"
#include "sluice/decode/append.h"
#include "sluice/models/load.h"

namespace sluice::convert {
namespace {

/// Sums of squares by column of what one matrix met.
struct Sums {
  std::string path;
  std::mutex mutex;
  std::vector<double> squares;
  int64_t n = 0;

  void add(const float* x, int64_t stride, int64_t n_rows) {
    const std::lock_guard lock(mutex);
    for (int64_t t = 0; t < n_rows; ++t) {
      for (size_t c = 0; c < squares.size(); ++c) {
        const double value = x[t * stride + static_cast<int64_t>(c)];
        squares[c] += value * value;
      }
    }
    n += n_rows;
  }
};

/// Matrices by the address of their first row: a product in parts is counted once, with the part that has it.
class Collector {
 public:
  void follow(const std::byte* first_row, const std::string& path, int64_t cols) {
    Sums& sums = all_.emplace_back();
    sums.path = path;
    sums.squares.resize(static_cast<size_t>(cols));
    by_address_.emplace(first_row, &sums);
  }
  void add(const kernels::Matrix& w, const float* x, int64_t stride, int64_t n_rows) {
    const auto found = by_address_.find(w.data);
    if (found != by_address_.end()) found->second->add(x, stride, n_rows);
  }
  /// Matrices of a path together, in the order in which they were followed.
  Importance means() const {
    std::map<std::string, std::vector<double>> squares;
    std::map<std::string, int64_t> counts;
    for (const Sums& sums : all_) {
      auto& of_path = squares[sums.path];
      of_path.resize(sums.squares.size());
      for (size_t c = 0; c < of_path.size(); ++c) of_path[c] += sums.squares[c];
      counts[sums.path] += sums.n;
    }
    Importance means;
    for (const auto& [path, sum] : squares) {
      if (counts[path] == 0) continue;
      for (const double value : sum)
        means[path].push_back(static_cast<float>(value / static_cast<double>(counts[path])));
    }
    return means;
  }

 private:
  std::deque<Sums> all_;
  std::unordered_map<const std::byte*, Sums*> by_address_;
};

Collector* collector = nullptr;  // of the run in progress

void collecting_matmul(const kernels::Matrix& w, int64_t row_begin, int64_t row_end, const float* x,
                       int64_t x_stride, int64_t n_tokens, float* y, int64_t y_stride) noexcept {
  if (row_begin == 0) collector->add(w, x, x_stride, n_tokens);
  kernels::kernels().matmul(w, row_begin, row_end, x, x_stride, n_tokens, y, y_stride);
}

/// Every matrix of the model, a stack's experts one by one.
void follow_all(Collector& all, const SourceModel& source, const residency::WeightStore& store) {
  for (const SourceTensor& t : source.tensors) {
    if (t.use == SourceTensor::Use::vector) continue;
    const bool is_stack = t.shape.size() == 3;
    const int64_t n = is_stack ? t.shape[0] : 1, rows = t.weight.rows() / n;
    for (int64_t i = 0; i < n; ++i) {
      const residency::Weight one = t.weight.select_rows(i * rows, rows);
      all.follow(store.acquire(one).data, column_path(t.ours), t.weight.cols());
    }
  }
}

}  // namespace

Importance collect_importance(const std::filesystem::path& path, std::span<const int32_t> tokens,
                              const CollectOptions& options) {
  const SourceModel source = open_source(path);
  mx::set_default_device(mx::Device::cpu);
  const models::LoadedModel loaded = models::load_model(path, {});
  Collector sums;
  follow_all(sums, source, *loaded.store);
  collector = &sums;
  kernels::KernelTable table = kernels::kernels();
  table.matmul = collecting_matmul;
  ThreadPool pool(options.n_threads);
  ops::ErrorSlot errors;
  ops::Scratch scratch;
  residency::KvPool kv_pool;
  const auto layout = std::make_shared<const nn::KvLayout>(loaded.model->kv_layout());
  const ops::Context context{.stream = mx::new_stream(mx::Device::cpu),
                             .pool = pool,
                             .kernels = table,
                             .weights = *loaded.store,
                             .errors = errors,
                             .scratch = scratch,
                             .activations = ops::Activations::float32};
  decode::Stepper stepper(*loaded.model, context);
  const auto n = static_cast<int64_t>(tokens.size());
  for (int64_t begin = 0; begin < n; begin += options.window) {
    const int64_t length = std::min(options.window, n - begin);
    nn::KvCache kv(layout, kv_pool);
    const auto window = tokens.subspan(static_cast<size_t>(begin), static_cast<size_t>(length));
    decode::append(stepper, kv, window, {.first_wanted = length / 2}, [](int64_t, auto) {});
    if (options.progress) options.progress(begin + length, n);
  }
  return sums.means();
}

}  // namespace sluice::convert
