#include "sluice/server/answers/answer_id.h"

#include <random>
#include <string_view>

namespace sluice::server {

std::string new_id() {
  static constexpr std::string_view kLetters =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::random_device random;
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id(24, ' ');
  for (char& c : id) c = kLetters[letter(random)];
  return id;
}

}  // namespace sluice::server
