#include "sluice/decode/stop.h"

#include <utility>

#include "sluice/decode/begun_mark.h"

namespace sluice::decode {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopMatcher::push(const std::string& piece) {
  if (found()) return "";
  held_ += piece;
  size_t cut = std::string::npos;
  for (const std::string& stop : stops_) {
    if (const size_t at = held_.find(stop); at < cut) {
      cut = at;
      found_ = stop;
    }
  }
  if (found()) return std::exchange(held_, "").substr(0, cut);
  const size_t keep = begun_mark(held_, stops_);
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

std::string StopMatcher::finish() { return found() ? "" : std::exchange(held_, ""); }

}  // namespace sluice::decode
