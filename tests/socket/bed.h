#pragma once

#include <compare>
#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "harness/bed.h"
#include "harness/services.h"
#include "sys/netns.h"

namespace weir {

struct Peer {
  Address address;
  std::uint16_t port = 0;

  friend auto operator<=>(const Peer&, const Peer&) = default;
};
std::ostream& operator<<(std::ostream& out, const Peer& peer);

struct Datagram {
  std::string data;
  Peer from;
};

// A socket of a process of the bed. Calls give 0 or an errno; waits end after two seconds.
class Sock {
 public:
  // family: AF_INET or AF_INET6, whose IPv4 addresses are v4-mapped.
  Sock(int family, Fd fd) : family_(family), fd_(std::move(fd)) {}

  int bind(const Peer& peer);
  int listen();
  int connect(const Peer& peer);
  int disconnect();
  int send_to(const Peer& peer, const std::string& data);
  std::optional<Datagram> receive();
  std::optional<Sock> accept();
  int error();  // SO_ERROR
  Peer name() const;
  Peer peer() const;
  // SO_ORIGINAL_DST of the address's family.
  std::optional<Peer> original_dst(Family family) const;

 private:
  int family_;
  Fd fd_;
};

// A network namespace of the bed, and what it is called in both families.
class Place {
 public:
  Place(Netns netns, const Address& v4, const Address& v6)
      : netns_(std::move(netns)), v4_(v4), v6_(v6) {}

  const Netns& netns() const { return netns_; }
  Result<Netns> reopen() const;
  const Address& address(Family family) const { return family == Family::kIpv4 ? v4_ : v6_; }
  std::uint64_t cookie() const;

  Sock tcp(int family) const { return make(family, SOCK_STREAM); }
  Sock udp(int family) const { return make(family, SOCK_DGRAM); }
  // Bound to the address, any port if 0.
  Sock tcp_listener(const Peer& at) const;
  Sock udp_bound(const Peer& at) const;

 private:
  Sock make(int family, int type) const;

  Netns netns_;
  Address v4_, v6_;
};

// The node of the packet tests with real sockets: pods a and b are namespaces that the node routes
// to, the test's own process is in the cgroup that the programs are attached to. Service tables are
// written by hand.
class SocketBed {
 public:
  explicit SocketBed(const BedOptions& options);
  ~SocketBed();
  SocketBed(const SocketBed&) = delete;
  SocketBed& operator=(const SocketBed&) = delete;

  Bed& bed() { return *bed_; }
  const Place& node() const { return *node_; }
  const Place& pod_a() const { return *pod_a_; }
  const Place& pod_b() const { return *pod_b_; }
  // A namespace that the agent knows nothing of, routed like pod a's.
  const Place& stranger() const { return *stranger_; }
  const std::string& cgroup() const { return cgroup_; }
  // The test's process is outside of the cgroup meanwhile.
  void leave_cgroup();
  void join_cgroup();

  TestServices& services() { return *services_; }

  std::uint64_t translated();  // calls so far
  std::uint64_t refused();

 private:
  std::unique_ptr<Place> make_place(const char* link, const char* peer, const Address& v4,
                                    const Address& v6);

  std::string outside_;  // cgroup of the test before
  std::string cgroup_;
  std::unique_ptr<Bed> bed_;
  std::unique_ptr<Place> node_, pod_a_, pod_b_, stranger_;
  std::unique_ptr<TestServices> services_;
};

}  // namespace weir
