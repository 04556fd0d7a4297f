#include "python/bindings/chooser.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "sluice/base/error.h"

namespace sluice::python {
namespace {

namespace nb = nanobind;

using TokenArray = nb::ndarray<nb::numpy, const text::Token, nb::ndim<1>, nb::c_contig>;
using AnyRow = nb::ndarray<const float, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

/// A copy: a hook may keep it.
TokenArray copied(const std::vector<text::Token>& tokens) {
  auto copy = std::make_unique<text::Token[]>(tokens.size());
  std::copy(tokens.begin(), tokens.end(), copy.get());
  const nb::capsule owner(copy.get(),
                          [](void* p) noexcept { delete[] static_cast<text::Token*>(p); });
  return TokenArray(copy.release(), {tokens.size()}, owner);
}

}  // namespace

Chooser::Chooser(Hooks hooks, std::shared_ptr<Mailbox> mailbox, std::vector<text::Token> prompt,
                 std::vector<text::Token> eos)
    : hooks_(std::move(hooks)),
      mailbox_(std::move(mailbox)),
      timeline_(std::move(prompt)),
      eos_(std::move(eos)) {}

Chooser::~Chooser() {
  const nb::gil_scoped_acquire gil;
  hooks_.processor.reset();
  hooks_.sampler.reset();
}

void Chooser::mask(std::span<float> logits) {
  if (!hooks_.processor.is_none()) process(logits);
  if (hooks_.keeps_logits) mailbox_->put_logits(copy_of(logits));
  if (!hooks_.sampler.is_none()) choose(logits);
}

void Chooser::process(std::span<float> logits) {
  Floats row = copy_of(logits);
  float* const values = row.get();
  const nb::gil_scoped_acquire gil;
  const nb::object mine = nb::cast(as_numpy(std::move(row), logits.size()));
  const nb::object given = hooks_.processor(nb::cast(copied(timeline_)), mine);
  if (given.is_none() || given.is(mine)) {
    std::copy_n(values, logits.size(), logits.begin());
    return;
  }
  AnyRow changed;
  if (!nb::try_cast(given, changed) || changed.shape(0) != logits.size()) {
    fail(ErrorKind::bad_request,
         "a logits processor returned {}, it must be None or a float32 array of [{}]",
         nb::repr(given.type()).c_str(), logits.size());
  }
  std::copy_n(changed.data(), logits.size(), logits.begin());
}

void Chooser::choose(std::span<float> logits) {
  Floats row = copy_of(logits);
  int64_t token = -1;
  {
    const nb::gil_scoped_acquire gil;
    const nb::object given = hooks_.sampler(nb::cast(as_numpy(std::move(row), logits.size())));
    const nb::object index = nb::steal(PyNumber_Index(given.ptr()));
    if (!index.is_valid()) throw nb::python_error();
    if (!nb::try_cast(index, token)) token = -1;
  }
  if (token < 0 || token >= std::ssize(logits)) {
    fail(ErrorKind::bad_request, "a sampler chose token {}, it must be from 0 to {}", token,
         std::ssize(logits) - 1);
  }
  std::ranges::fill(logits, -std::numeric_limits<float>::infinity());
  logits[static_cast<size_t>(token)] = 0;
}

bool Chooser::accept(text::Token token) {
  timeline_.push_back(token);
  return std::ranges::find(eos_, token) == eos_.end();
}

}  // namespace sluice::python
