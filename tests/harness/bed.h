#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "abi/conntrack.h"
#include "abi/drops.h"
#include "abi/event.h"
#include "abi/hooks.h"
#include "abi/metrics.h"
#include "abi/stages.h"
#include "dataplane/dataplane.h"
#include "harness/cast.h"
#include "harness/packet.h"
#include "harness/wire.h"

namespace weir {

inline constexpr int kNext = -1;     // TCX_NEXT: on to the stack, or out by the hook's own link
inline constexpr int kDropped = 2;   // TCX_DROP
inline constexpr int kRedirect = 7;  // TCX_REDIRECT

inline constexpr std::uint32_t kMarkMask = 0x0f000000;
inline constexpr std::uint32_t kMarkJudged = 0x05000000;

// How a packet meets a program.
struct Arrival {
  weir_hook hook = WEIR_HOOK_FROM_POD;
  std::uint32_t ifindex = kLinkA;
  std::optional<Address> outer_source = {};  // came out of the tunnel, from there
  std::uint32_t vni = Settings().tunnel_vni;
  std::uint32_t mark = 0;
  std::uint32_t gso_size = 0;
  std::uint32_t gso_segs = 0;
};

// What became of it.
struct Outcome {
  int verdict = 0;
  Bytes frame;
  std::uint32_t mark = 0;
  std::vector<weir_event> events;  // that this packet caused

  // The reason of its drop event; nullopt when there is none.
  std::optional<weir_drop> reason() const;
  const weir_event* event(weir_event_type type) const;
};

struct XdpOutcome {
  int verdict;
  Bytes frame;
};

struct BedOptions {
  Settings settings;
  std::uint32_t uplink_mtu = 1500;
  bool uplink_has_addresses = true;
};

// Small tables, both families' pods, routes and devices of harness/cast.h.
BedOptions small();

// A node under test: private namespaces, a bpffs of its own, the programs loaded there.
class Bed {
 public:
  explicit Bed(const BedOptions& options);
  ~Bed();
  Bed(const Bed&) = delete;
  Bed& operator=(const Bed&) = delete;

  Dataplane& plane() { return *plane_; }
  Entries& entries() { return entries_; }
  void apply();  // entries()
  // The agent has died and another one starts: it adopts what is pinned.
  void restart() { restart(settings_); }
  void restart(const Settings& settings);
  // What an agent of another build has pinned in the place of ours; for the next restart.
  void replace_map(const std::string& name, int type, std::uint32_t key_size,
                   std::uint32_t value_size, std::uint32_t entries);

  // Runs the hook's program on the frame. Test failures: the kernel refuses the run.
  Outcome run(const Arrival& arrival, const Bytes& frame);
  Outcome run(const Arrival& arrival, const Packet& packet) { return run(arrival, packet.bytes()); }

  Outcome from_pod(std::uint32_t ifindex, const auto& packet) {
    return run({.hook = WEIR_HOOK_FROM_POD, .ifindex = ifindex}, packet);
  }
  Outcome to_pod(std::uint32_t ifindex, const auto& packet) {
    return run({.hook = WEIR_HOOK_TO_POD, .ifindex = ifindex}, packet);
  }
  Outcome from_nic(const auto& packet) {
    return run({.hook = WEIR_HOOK_FROM_NET, .ifindex = kUplink}, packet);
  }
  Outcome from_tunnel(const Address& node, const auto& packet) {
    return run({.hook = WEIR_HOOK_FROM_NET, .ifindex = kTunnel, .outer_source = node}, packet);
  }
  // Handed over by a node: this one is to answer the client.
  Outcome from_node(const Address& node, const auto& packet) {
    return run({.hook = WEIR_HOOK_FROM_NET,
                .ifindex = kTunnel,
                .outer_source = node,
                .vni = Settings().tunnel_vni + WEIR_VNI_DSR},
               packet);
  }
  Outcome to_nic(const auto& packet) {
    return run({.hook = WEIR_HOOK_TO_NET, .ifindex = kUplink}, packet);
  }
  Outcome to_tunnel(const auto& packet) {
    return run({.hook = WEIR_HOOK_TO_NET, .ifindex = kTunnel}, packet);
  }

  // Only the verdict; no events are read. Below -900: the kernel refuses the run.
  int run_fast(const Arrival& arrival, const Bytes& in, Bytes& out) const;
  int run_fast(int program, std::uint32_t ifindex, const Bytes& in, Bytes& out) const;
  // As it comes in by the uplink.
  XdpOutcome run_xdp(int program, const Bytes& frame) const;
  int program(weir_hook hook) const { return programs_.at(hook).get(); }
  // Runs `program` on what came out of the tunnel, sent by `node`; borrowed fd.
  int behind_tunnel(const Address& node, std::uint32_t vni, int program) const;
  int pinned_map(const std::string& name) const;     // borrowed fd
  Fd pinned_program(const std::string& name) const;  // or stage table

  std::vector<weir_event> drain();
  // ENDED events of one pass.
  std::vector<weir_event> sweep(const weir_sweep& limits);
  weir_metric metric(weir_hook hook, std::uint32_t outcome);
  std::uint64_t drops(weir_hook hook, weir_drop reason) {
    return metric(hook, WEIR_OUTCOME_DROP + static_cast<std::uint32_t>(reason)).packets;
  }
  std::optional<weir_ct> connection(const Address& a, std::uint16_t a_port, const Address& b,
                                    std::uint16_t b_port, int proto) const;
  std::uint64_t connections() const { return plane_->count_connections(); }
  // Per hook IN = FORWARD + STACK + drops; packets and bytes.
  testing::AssertionResult adds_up();

 private:
  void pod(const Address& address, std::uint32_t handle, std::uint32_t ifindex, const Mac& mac);
  void fill_entries();
  void open_programs();
  // The program for this arrival; what is in front of it, if anything, is set up.
  int enter(const Arrival& arrival) const;

  Settings settings_;
  std::string dir_;
  std::unique_ptr<Dataplane> plane_;
  Entries entries_;
  std::array<Fd, 4> programs_;  // of packets, by hook
  Fd inject_, inject_source_, inject_vni_, inject_target_;
  mutable int injected_ = -1;  // program behind inject_
  mutable std::map<std::string, Fd> maps_;
  std::unique_ptr<RingReader> ring_;
  std::vector<weir_event> events_;
};

weir_ct_key key_of(const Address& a, std::uint16_t a_port, const Address& b, std::uint16_t b_port,
                   int proto, bool* a_is_high = nullptr);

// Fixture of the packet tests: one bed, one family's cast, and the books are checked at the end.
class PacketTest : public testing::TestWithParam<Family> {
 protected:
  void start(const BedOptions& options);
  // With these ports for translation alone.
  void start_with_ports(std::uint16_t min, std::uint16_t max) {
    BedOptions options = small();
    options.settings.nat_port_min = min;
    options.settings.nat_port_max = max;
    start(options);
  }
  void SetUp() override { start(small()); }
  void TearDown() override;

  Bed& bed() { return *bed_; }
  const Cast& cast() const { return cast_of(GetParam()); }
  std::uint8_t icmp() const { return GetParam() == Family::kIpv4 ? 1 : 58; }

  std::unique_ptr<Bed> bed_;
};

inline std::string family_name(const testing::TestParamInfo<Family>& family) {
  return family.param == Family::kIpv4 ? "IPv4" : "IPv6";
}

#define WEIR_BOTH_FAMILIES(Suite) \
  INSTANTIATE_TEST_SUITE_P(, Suite, testing::Values(Family::kIpv4, Family::kIpv6), family_name)

}  // namespace weir
