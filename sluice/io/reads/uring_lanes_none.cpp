#include "sluice/io/reads/read_queue.h"

namespace sluice::io {

std::unique_ptr<AsyncReader::Lanes> make_uring_lanes(ReadQueue&, std::string& why_not) {
  why_not = "this build has no io_uring";
  return nullptr;
}

}  // namespace sluice::io
