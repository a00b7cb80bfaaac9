#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/key.h"
#include "observe/flow.h"

namespace weir {

// Which flows a reader wants. Several values of one field: any of them. Several fields: all of
// them. An end matches when either end does, or the backend that a Service chose.
struct FlowFilter {
  std::vector<std::string> namespaces;
  std::vector<ObjectKey> pods;      // of a pod or a workload; empty namespace: any
  std::vector<ObjectKey> services;  // that the source addressed; empty namespace: any
  std::vector<Cidr> addresses;
  std::vector<std::uint16_t> ports;
  std::vector<std::uint8_t> protocols;
  std::vector<Verdict> verdicts;
  std::vector<std::uint8_t> reasons;  // enum weir_drop
  std::vector<FlowType> types;
  bool quiet = false;  // leaves out multicast drops, and the end of what was seen to close

  bool matches(const Flow& flow) const;

  // name: namespace, pod, service, address, port, protocol, verdict, reason, type, quiet. kNotFound
  // for any other name, kInvalid for a value that it cannot have; both texts name the parameter.
  Result<void> add(std::string_view name, std::string_view value);
};

}  // namespace weir
