#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/result.h"

namespace weir::cli {

// "10.244.0.5:41234>10.244.1.7:8080/tcp". Either end, its address or its port, and the protocol may
// be left out; IPv6 with a port stands in brackets: "[fd00::5]:80".
struct Tuple {
  struct End {
    std::optional<Address> address;
    std::string port;  // "" for any
  };
  End source;
  End destination;
  std::string protocol;  // "" for any
};

Result<Tuple> parse_tuple(std::string_view text);

}  // namespace weir::cli
