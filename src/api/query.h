#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "model/key.h"
#include "observe/flow_filter.h"

// What a request's target means. Every error is kInvalid and names the parameter.
namespace weir::api {

struct Query {
  std::string path;
  std::vector<std::pair<std::string, std::string>> parameters;  // decoded, in order
};

// "/v1/flows?pod=shop%2Fcart&follow=1"
Result<Query> parse_target(std::string_view target);

struct FlowsRequest {
  FlowFilter filter;
  bool follow = false;
  std::size_t last = 0;  // without follow and last: all that is remembered
};
Result<FlowsRequest> parse_flows(const Query& query);

struct ServicesRequest {
  std::optional<ObjectKey> only;
  std::string namespace_;  // empty: of all
};
Result<ServicesRequest> parse_services(const Query& query);

// Bounds are never off: what is not given has these values.
struct CaptureRequest {
  std::optional<ObjectKey> pod;
  std::optional<Address> address;
  std::optional<Address> peer;
  std::uint16_t port = 0;       // of the end `address`
  std::uint16_t peer_port = 0;  // of the other
  bool port_of_any = false;     // of either end: one port was given beside a pod
  std::uint8_t protocol = 0;
  std::uint16_t snap = 2048;
  std::uint64_t packets = 1000;
  std::uint64_t bytes = 64U << 20;
  std::uint64_t seconds = 30;
};
Result<CaptureRequest> parse_capture(const Query& query);

}  // namespace weir::api
