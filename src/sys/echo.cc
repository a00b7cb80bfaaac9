#include "sys/echo.h"

#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <random>

namespace weir {
namespace {

constexpr std::size_t kEchoHeader = 8;  // type, code, checksum, identifier, sequence
constexpr std::uint32_t kIpv4Header = 20;
constexpr std::uint32_t kIpv6Header = 40;
constexpr int kMostAtOnce = 256;    // strangers may send more than can be read
constexpr std::size_t kRead = 256;  // of a packet: the headers matter

bool set(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

bool set_up_v4(int fd) {
  const icmp_filter replies = {.data = ~(1U << ICMP_ECHOREPLY)};
  return setsockopt(fd, SOL_RAW, ICMP_FILTER, &replies, sizeof replies) == 0 &&
         set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) &&
         set(fd, IPPROTO_IP, IP_RECVERR, 1);
}

bool set_up_v6(int fd) {
  icmp6_filter replies{};
  std::memset(&replies, 0xff, sizeof replies);
  replies.data[ICMPV6_ECHO_REPLY >> 5] &= ~(1U << (ICMPV6_ECHO_REPLY & 31));
  return setsockopt(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, &replies, sizeof replies) == 0 &&
         set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE) &&
         set(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
}

std::uint16_t internet_checksum(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += static_cast<std::uint32_t>(bytes[i]) << (i % 2 == 0 ? 8 : 0);
  }
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

void put(std::span<std::uint8_t> at, std::uint16_t value) {
  at[0] = static_cast<std::uint8_t>(value >> 8);
  at[1] = static_cast<std::uint8_t>(value);
}

std::uint16_t get(std::span<const std::uint8_t> at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

Address address_of(const sockaddr* from) {
  if (from->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, from, sizeof v4);
    return Address::v4(ntohl(v4.sin_addr.s_addr));
  }
  if (from->sa_family != AF_INET6) return {};
  sockaddr_in6 v6{};
  std::memcpy(&v6, from, sizeof v6);
  std::array<std::uint8_t, 16> bytes{};
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return Address::from_bytes(bytes);
}

}  // namespace

EchoSocket::EchoSocket(Fd fd, Family family)
    : fd_(std::move(fd)),
      family_(family),
      identifier_(std::random_device()() & 0x7fffU) {}  // below ports of translated connections

Result<EchoSocket> EchoSocket::open(Family family) {
  const bool v4 = family == Family::kIpv4;
  Fd fd(socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
               v4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6)));
  if (!fd) return errno_error(errno, "a socket for ICMP (CAP_NET_RAW)");
  if (!(v4 ? set_up_v4(fd.get()) : set_up_v6(fd.get()))) {
    return errno_error(errno, "a socket for ICMP");
  }
  return EchoSocket(std::move(fd), family);
}

Result<void> EchoSocket::send(const Address& peer, std::uint16_t sequence, std::uint32_t size) {
  const bool v4 = family_ == Family::kIpv4;
  const std::uint32_t header = v4 ? kIpv4Header : kIpv6Header;
  packet_.assign(std::max<std::size_t>(size - header, kEchoHeader), 0);
  const std::span<std::uint8_t> packet(packet_);
  packet[0] = v4 ? std::uint8_t{ICMP_ECHO} : std::uint8_t{ICMPV6_ECHO_REQUEST};
  put(packet.subspan(4), identifier_);
  put(packet.subspan(6), sequence);
  if (v4) put(packet.subspan(2), internet_checksum(packet));  // the kernel does ICMPv6's
  sockaddr_in6 v6_to{};
  sockaddr_in v4_to{};
  const auto bytes = peer.wire();
  if (v4) {
    v4_to.sin_family = AF_INET;
    std::memcpy(&v4_to.sin_addr, bytes.data(), sizeof v4_to.sin_addr);
  } else {
    v6_to.sin6_family = AF_INET6;
    std::memcpy(&v6_to.sin6_addr, bytes.data(), sizeof v6_to.sin6_addr);
  }
  const auto* to =
      v4 ? reinterpret_cast<const sockaddr*>(&v4_to) : reinterpret_cast<const sockaddr*>(&v6_to);
  const auto length = static_cast<socklen_t>(v4 ? sizeof v4_to : sizeof v6_to);
  // An answer to an earlier request may be told as an error here, once; receive() has it as well.
  for (int tries = 0; tries < 2; ++tries) {
    if (sendto(fd_.get(), packet_.data(), packet_.size(), 0, to, length) >= 0) return {};
  }
  return errno_error(errno, "ICMP to " + peer.to_string());
}

std::vector<EchoSocket::Answer> EchoSocket::receive() {
  std::vector<Answer> out;
  for (int n = 0; n < kMostAtOnce && receive_one(out, MSG_ERRQUEUE); ++n) continue;
  for (int n = 0; n < kMostAtOnce && receive_one(out, 0); ++n) continue;
  return out;
}

// False: nothing is left.
bool EchoSocket::receive_one(std::vector<Answer>& out, int flags) {
  std::array<std::uint8_t, kRead> data{};
  alignas(cmsghdr) std::array<std::uint8_t, 512> control{};
  sockaddr_storage from{};
  iovec vector{.iov_base = data.data(), .iov_len = data.size()};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = recvmsg(fd_.get(), &message, flags);
  if (size < 0) return errno != EAGAIN && errno != EINTR && flags == 0;  // of an error: once
  std::span<const std::uint8_t> echo(data.data(), static_cast<std::size_t>(size));
  const bool v4 = family_ == Family::kIpv4;
  Answer answer;
  answer.peer = address_of(reinterpret_cast<const sockaddr*>(&from));
  if (flags == 0) {
    if (v4) echo = echo.subspan(std::min<std::size_t>(echo.size(), (data[0] & 0xfU) * 4));
    const auto type = v4 ? std::uint8_t{ICMP_ECHOREPLY} : std::uint8_t{ICMPV6_ECHO_REPLY};
    if (is_own(echo, type, &answer.sequence)) out.push_back(answer);
    return true;
  }
  const auto type = v4 ? std::uint8_t{ICMP_ECHO} : std::uint8_t{ICMPV6_ECHO_REQUEST};
  if (!is_own(echo, type, &answer.sequence)) return true;
  for (cmsghdr* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
    if (one->cmsg_type != (v4 ? IP_RECVERR : IPV6_RECVERR)) continue;
    sock_extended_err error{};
    std::memcpy(&error, CMSG_DATA(one), sizeof error);
    if (error.ee_errno != EMSGSIZE || error.ee_info == 0) continue;
    answer.mtu = error.ee_info;
    const auto* offender =
        reinterpret_cast<const sockaddr*>(CMSG_DATA(one) + sizeof(sock_extended_err));
    if (error.ee_origin != SO_EE_ORIGIN_LOCAL) answer.reporter = address_of(offender);
    out.push_back(answer);
  }
  return true;
}

bool EchoSocket::is_own(std::span<const std::uint8_t> echo, std::uint8_t type,
                        std::uint16_t* sequence) const {
  if (echo.size() < kEchoHeader || echo[0] != type || get(echo.subspan(4)) != identifier_) {
    return false;
  }
  *sequence = get(echo.subspan(6));
  return true;
}

}  // namespace weir
