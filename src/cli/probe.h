#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

// What `weir test` runs in pods, all of it of Weir's own image: a server that answers with what it
// is asked, and a client.
namespace weir::cli {

// One question: `size` bytes to a server and back.
struct Probe {
  enum class Kind { kTcp, kUdp, kName, kConnect };
  Kind kind = Kind::kTcp;
  std::string target;  // an address; of kName, a name
  std::uint16_t port = 0;
  std::uint32_t size = 0;
};

// "udp 10.0.0.1 8080 1400", both ways. Names and connections are "name shop.svc 4 0" (port: family
// of the address) and "connect 10.96.0.1 443 0".
Result<Probe> parse_probe(std::string_view line);
std::string to_string(const Probe& probe);

// Who answered, or the first address of a name. kUnavailable, in words of the fault: refused, no
// answer, another answer.
Result<std::string> ask(const Probe& probe, std::chrono::milliseconds patience);

// Answers on TCP and UDP, in both families where there are both, until a signal. Answers begin with
// `name`.
Result<void> answer(std::uint16_t port, const std::string& name);

}  // namespace weir::cli
