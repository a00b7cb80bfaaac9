// The least that a pod's link asks of the kernel: what no CNI plugin can be faster than.
//   netlink_floor add NETNS HOST_IFNAME HOST_IFINDEX ADDRESS...
//   netlink_floor del HOST_IFINDEX
// In the caller's namespace: a veth pair, its other end eth0 in NETNS, a host route and (in the
// pod) address, neighbour and default route per address. Two batched exchanges, or one to delete.
// Prints the nanoseconds it took, without the start of the process, as JSON.
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "sys/links.h"

namespace {

using weir::Address;
using weir::Result;

constexpr weir::LinkAddress kHost{0xee, 0xee, 0xee, 0xee, 0xee, 0xee};
constexpr weir::LinkAddress kPod{0x0a, 0x58, 0, 0, 0, 1};
constexpr std::uint32_t kPodIndex = 2;  // a new namespace has its loopback only

Address gateway(const Address& address) {
  return *Address::parse(address.is_v4() ? "169.254.1.1" : "fe80::1");
}

Result<void> node_side(const weir::Netns& pod, const std::string& name, std::uint32_t index,
                       const std::vector<Address>& addresses) {
  WEIR_ASSIGN(auto netlink, weir::Netlink::open());
  weir::Batch batch;
  weir::request::add_veth(batch, {name, index, kHost}, {"eth0", kPodIndex, kPod}, pod.fd(), 1450);
  weir::request::set_up(batch, index);
  for (const auto& address : addresses)
    weir::request::replace_route(
        batch, {.destination = weir::Cidr(address, address.is_v4() ? 32 : 128), .index = index});
  return netlink.run(batch);
}

Result<void> pod_side(const weir::Netns& pod, const std::vector<Address>& addresses) {
  WEIR_ASSIGN(auto netlink, weir::Netlink::open_in(pod));
  weir::Batch batch;
  weir::request::set_up(batch, kPodIndex);
  for (const auto& address : addresses) {
    const Address any = address.is_v4() ? Address::v4(0) : Address();
    weir::request::add_address(batch, kPodIndex, address);
    weir::request::add_permanent_neighbour(batch, kPodIndex, gateway(address), kHost);
    weir::request::replace_route(batch, {.destination = weir::Cidr(any, 0),
                                         .index = kPodIndex,
                                         .via = gateway(address),
                                         .onlink = true});
  }
  return netlink.run(batch);
}

Result<void> add(char** words, int count) {
  std::vector<Address> addresses;
  for (int i = 3; i < count; ++i) {
    WEIR_ASSIGN(const auto address, Address::parse(words[i]));
    addresses.push_back(address);
  }
  WEIR_ASSIGN(const auto pod, weir::Netns::open(words[0]));
  WEIR_TRY(node_side(pod, words[1], static_cast<std::uint32_t>(std::atoi(words[2])), addresses));
  return pod_side(pod, addresses);
}

Result<void> remove(char** words) {
  WEIR_ASSIGN(auto netlink, weir::Netlink::open());
  weir::Batch batch;
  weir::request::delete_link(batch, static_cast<std::uint32_t>(std::atoi(words[0])));
  return netlink.run(batch);
}

}  // namespace

int main(int argc, char** argv) {
  const bool adds = argc > 5 && std::strcmp(argv[1], "add") == 0;
  if (!adds && !(argc == 3 && std::strcmp(argv[1], "del") == 0)) {
    fmt::print(stderr,
               "usage: netlink_floor add NETNS HOST_IFNAME HOST_IFINDEX ADDRESS... | "
               "del HOST_IFINDEX\n");
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto done = adds ? add(argv + 2, argc - 2) : remove(argv + 2);
  const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - start;
  if (!done) {
    fmt::print(stderr, "netlink_floor: {}\n", done.error().text());
    return 1;
  }
  fmt::print("{{\"ns\":{}}}\n", took.count());
}
