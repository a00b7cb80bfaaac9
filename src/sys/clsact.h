#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "sys/netlink.h"

namespace weir {

// Under these the kernel knows Weir's filters. Filters of lower priorities run before, those that
// name none after.
inline constexpr std::uint16_t kFilterPriority = 87;
inline constexpr std::uint32_t kFilterHandle = 0x77656972;  // "weir"

// A filter of the queueing discipline clsact.
struct Filter {
  bool egress = false;
  std::string kind;  // "bpf", "flower"
  std::string name;  // of a program, as tc calls it
  std::uint16_t priority = 0;
  std::uint32_t handle = 0;
  std::uint32_t program = 0;  // id; 0: none

  bool is_ours() const {
    return kind == "bpf" && priority == kFilterPriority && handle == kFilterHandle;
  }
};
// In the order in which they run. A link without clsact has none.
Result<std::vector<Filter>> list_filters(Netlink& netlink, std::uint32_t index);
Result<std::vector<Filter>> list_filters(Netlink& netlink, std::uint32_t index, bool egress);

struct Qdisc {
  std::uint32_t index = 0;  // of its link
  std::uint32_t parent = 0;
  std::string kind;  // "clsact", "ingress", "tbf"
};
// What is where clsact would be: "clsact", "ingress"; empty: nothing.
Result<std::string> find_ingress_qdisc(Netlink& netlink, std::uint32_t index);
// Indexes of links.
Result<std::vector<std::uint32_t>> list_clsact(Netlink& netlink);

namespace request {

// kExists: another qdisc is there.
void add_clsact(Batch& batch, std::uint32_t index);
void delete_clsact(Batch& batch, std::uint32_t index);
// Weir's, which becomes this program without a gap when it is there already. REQUIRES: clsact.
void put_filter(Batch& batch, std::uint32_t index, bool egress, int program,
                const std::string& name);
// Weir's; none is success.
void delete_filter(Batch& batch, std::uint32_t index, bool egress);

}  // namespace request

}  // namespace weir
