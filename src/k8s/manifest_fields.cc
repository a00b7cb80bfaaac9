// Fields that several kinds of manifests have.
#include <algorithm>

#include "k8s/manifest_kinds.h"

namespace weir::k8s {

Protocol read_protocol(const Field& field) {
  return *parse_protocol(field.word({"TCP", "UDP", "SCTP"}, "TCP"));
}

// As Kubernetes: at most 15 lowercase letters, digits and '-', with a letter.
std::string read_port_name(const Field& name) {
  const std::string out = name.dns_label(15);
  if (is_dns_label(out, 15) && std::ranges::none_of(out, [](char c) { return c >= 'a'; })) {
    name.must("have a letter");
  }
  return out;
}

std::optional<Address> read_reachable(const Field& field) {
  static const Cidr kUnreachable[] = {{Address::v4(0), 32},
                                      {Address::v4(0x7f000000), 8},
                                      {Address::v4(0xa9fe0000), 16},
                                      {Address::v4(0xe0000000), 24},
                                      {Address(), 127},
                                      {*Address::parse("fe80::"), 10},
                                      {*Address::parse("ff02::"), 16}};
  if (field.is_text() && field.yaml()->text.empty()) return std::nullopt;
  const auto address = field.address();
  if (!address) return std::nullopt;
  const bool is_unreachable = std::ranges::any_of(
      kUnreachable, [&address](const Cidr& range) { return range.contains(*address); });
  if (is_unreachable) field.must("be an address that others can reach");
  return address;
}

}  // namespace weir::k8s
