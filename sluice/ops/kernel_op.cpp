#include "sluice/ops/kernel_op.h"

#include <mlx/backend/cpu/encoder.h>
#include <mlx/primitives.h>

#include "sluice/base/error.h"

namespace sluice::ops {
namespace {

/// The one primitive through which all CPU kernels run.
class KernelOp : public mx::Primitive {
 public:
  KernelOp(const Context& context, const char* name, KernelBody body, std::optional<size_t> donate)
      : mx::Primitive(context.stream),
        context_(context),
        name_(name),
        body_(std::make_shared<KernelBody>(std::move(body))),
        donate_(donate) {}

  void eval_cpu(const std::vector<mx::array>& inputs, std::vector<mx::array>& outputs) override {
    Buffers buffers;
    for (const mx::array& input : inputs) {
      if (!input.flags().row_contiguous)
        fail(ErrorKind::internal, "{}: an input is not row-contiguous", name_);
      buffers.inputs.push_back(input.data<void>());
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (i == 0 && donate_ && inputs[*donate_].is_donatable() &&
          inputs[*donate_].nbytes() == outputs[i].nbytes()) {
        outputs[i].copy_shared_buffer(inputs[*donate_]);
      } else {
        outputs[i].set_data(mx::allocator::malloc(outputs[i].nbytes()));
      }
      buffers.outputs.push_back(outputs[i].data<void>());
    }
    mx::cpu::get_command_encoder(stream()).dispatch(
        [body = body_, buffers = std::move(buffers), &context = context_, name = name_] {
          if (context.errors.is_set()) return;
          const Timeline::Span span(context.timeline, name, context.lane);
          try {
            (*body)(buffers);
          } catch (...) {
            context.errors.set(std::current_exception());
          }
        });
  }

  void eval_gpu(const std::vector<mx::array>&, std::vector<mx::array>&) override {
    fail(ErrorKind::internal, "{}: a CPU kernel was put on a GPU stream", name_);
  }

  const char* name() const override { return name_; }

 private:
  const Context& context_;
  const char* name_;
  std::shared_ptr<KernelBody> body_;  // shared: a task may outlive the primitive
  std::optional<size_t> donate_;
};

}  // namespace

std::vector<mx::array> kernel_op(const Context& context, const char* name,
                                 std::vector<mx::array> inputs,
                                 const std::vector<OutputSpec>& outputs, KernelBody body,
                                 std::optional<size_t> donate) {
  std::vector<mx::Shape> shapes;
  std::vector<mx::Dtype> dtypes;
  for (const auto& output : outputs) {
    shapes.push_back(output.shape);
    dtypes.push_back(output.dtype);
  }
  return mx::array::make_arrays(std::move(shapes), dtypes,
                                std::make_shared<KernelOp>(context, name, std::move(body), donate),
                                inputs);
}

mx::array kernel_op(const Context& context, const char* name, std::vector<mx::array> inputs,
                    mx::Shape shape, KernelBody body, std::optional<size_t> donate) {
  return mx::array(std::move(shape), mx::float32,
                   std::make_shared<KernelOp>(context, name, std::move(body), donate),
                   std::move(inputs));
}

}  // namespace sluice::ops
