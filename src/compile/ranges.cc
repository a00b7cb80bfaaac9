#include "compile/ranges.h"

#include <ranges>

namespace weir {
namespace {

template <typename Map>
void release(Map& map, const typename Map::key_type& key) {
  const auto it = map.find(key);
  if (--it->second == 0) map.erase(it);
}

}  // namespace

bool holds_mapped_space(const Cidr& cidr) {
  if (cidr.family() == Family::kIpv4) return false;
  const auto mapped = Address::v4(0).bytes();
  for (int bit = 0; bit < cidr.bits(); ++bit) {
    const auto byte = static_cast<std::size_t>(bit / 8);
    const int mask = 0x80 >> (bit % 8);
    if ((mapped[byte] & mask) != (cidr.address().bytes()[byte] & mask)) return false;
  }
  return true;
}

bool is_too_wide(const Cidr& cidr) { return cidr.bits() < 8 || holds_mapped_space(cidr); }

void NodeRanges::add(const Node& node) {
  for (const Cidr& cidr : node.pod_cidrs) {
    if (!is_too_wide(cidr)) ++ranges_[cidr.mapped_bits()][cidr];
  }
  for (const Address& address : node.addresses) ++addresses_[address];
}

void NodeRanges::remove(const Node& node) {
  for (const Cidr& cidr : node.pod_cidrs) {
    if (is_too_wide(cidr)) continue;
    const auto of_length = ranges_.find(cidr.mapped_bits());
    release(of_length->second, cidr);
    if (of_length->second.empty()) ranges_.erase(of_length);
  }
  for (const Address& address : node.addresses) release(addresses_, address);
}

std::optional<Cidr> NodeRanges::pod_range(const Address& address) const {
  for (const auto& [mapped_bits, cidrs] : std::views::reverse(ranges_)) {
    const int bits = address.is_v4() ? mapped_bits - 96 : mapped_bits;
    if (bits < 0) continue;
    const auto it = cidrs.find(Cidr(address, bits));
    if (it != cidrs.end()) return it->first;
  }
  return std::nullopt;
}

}  // namespace weir
