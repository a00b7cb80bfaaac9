// What comes in at cni.sock and from the spool.
#include "sandbox/cni_request.h"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = weir::cni::parse_request(text);
  if (!parsed.request) {
    static_cast<void>(weir::cni::failure_answer(parsed.answer_version, parsed.failure));
  }
  return 0;
}
