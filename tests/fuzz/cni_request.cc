// What comes in at cni.sock and from the spool, with a prevResult in it, and records read from
// disk.
#include "sandbox/cni_request.h"

#include <cstddef>
#include <cstdint>

#include "sandbox/cni_result.h"
#include "sandbox/record.h"

namespace {

weir::Endpoint endpoint() {
  weir::Endpoint one;
  one.container_id = "c1";
  one.ifname = "eth0";
  one.netns = "/run/netns/x";
  one.addresses = {weir::Address::v4(0x0af40005), weir::Address()};
  return one;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = weir::cni::parse_request(text);
  if (parsed.request) {
    const auto& request = *parsed.request;
    static_cast<void>(weir::cni::add_result(request.version, endpoint(), 1500, request.previous));
    static_cast<void>(weir::cni::previous_fault(endpoint(), request.previous));
  } else {
    static_cast<void>(weir::cni::failure_answer(parsed.answer_version, parsed.failure));
  }
  static_cast<void>(weir::decode_record(text));
  return 0;
}
