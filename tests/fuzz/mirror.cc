// What an API server sends, as it comes: lists by pages and by streams, watches. Inputs are parts
// with a form feed between them; a part's first letter says what it is:
//   L a list begins, the rest is its first page   P the rest is another page
//   S a list begins, the rest is of its stream    W a new stream, the rest is of it
//   + more of the stream
// What was told is followed: nothing is erased that was not there, nothing is erased by a list that
// is not complete, and versions of a watch do not go back.
#include "k8s/mirror.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

class Follower final : public weir::Sink {
 public:
  void change(weir::Change change) override {
    if (const auto* upsert = std::get_if<weir::Upsert>(&change)) {
      if (weir::kind_of(upsert->object) != weir::Kind::kPod) std::abort();
      if (weir::key_of(upsert->object).name.empty()) std::abort();
      return;
    }
    ++erased;
  }
  void synced() override {}
  void warning(std::string_view text) override {
    if (text.empty()) std::abort();
  }

  int erased = 0;
};

void page(weir::Mirror& mirror, Follower& follower, std::string_view text) {
  const int erased = follower.erased;
  const auto token = mirror.take_page(text);
  if (!token && token.error().text().empty()) std::abort();
  const bool complete = token && token->empty();
  if (complete == mirror.lists()) std::abort();
  if (!complete && follower.erased != erased) std::abort();
  if (complete && mirror.version() == 0) std::abort();
}

void stream(weir::Mirror& mirror, std::string_view text) {
  const bool watches = !mirror.lists();
  const auto version = mirror.version();
  const auto taken = mirror.take(text);
  if (!taken && taken.error().text().empty()) std::abort();
  if (watches && (mirror.lists() || mirror.version() < version)) std::abort();
  // As its user does: what is not believed is listed anew, by another stream.
  if (!taken) {
    if (taken.error().code() != weir::Code::kUnavailable) mirror.begin_list();
    mirror.begin_stream();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  Follower follower;
  weir::Mirror mirror(weir::Kind::kPod, follower);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('\f'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    if (part.empty()) continue;
    const std::string_view text = part.substr(1);
    switch (part[0]) {
      case 'L':
        mirror.begin_list();
        page(mirror, follower, text);
        break;
      case 'P':
        if (mirror.lists()) page(mirror, follower, text);
        break;
      case 'S':
        mirror.begin_list();
        mirror.begin_stream();
        stream(mirror, text);
        break;
      case 'W':
        mirror.begin_stream();
        stream(mirror, text);
        break;
      default:
        stream(mirror, text);
    }
  }
  return 0;
}
