#include <cstddef>
#include <cstdint>

#include "index_promises.h"
#include "require.h"
#include "sluice/base/error.h"
#include "sluice/io/formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  sluice::io::TensorIndex index;
  index.files.push_back({"fuzz.safetensors", size});
  try {
    sluice::io::read_safetensors_header(std::as_bytes(std::span(data, size)), size,
                                        "fuzz.safetensors", 0, index);
  } catch (const sluice::Error&) {
    return 0;
  }
  require_sound(index, size);
  uint64_t total = 0;
  for (const auto& [name, tensor] : index.tensors) total += tensor.bytes;
  require(total <= size, "tensors do not overlap");
  return 0;
}
