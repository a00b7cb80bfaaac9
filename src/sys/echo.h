#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"

namespace weir {

// ICMP echo requests of chosen sizes, never fragmented, and what comes back. Needs CAP_NET_RAW.
class EchoSocket {
 public:
  struct Answer {
    Address peer;                // whom the request was for
    std::uint16_t sequence = 0;  // of the request
    std::uint32_t mtu = 0;       // of the next link, which it was too large for; 0: it came through
    Address reporter{};          // who said so
  };

  static Result<EchoSocket> open(Family family);

  // Readable when there is something to receive(). Non-blocking.
  int fd() const { return fd_.get(); }
  // size: of the IP packet, in bytes. An error when it is larger than this host's own link.
  Result<void> send(const Address& peer, std::uint16_t sequence, std::uint32_t size);
  // What has come for this socket; after very much, fd() is readable still.
  std::vector<Answer> receive();

 private:
  EchoSocket(Fd fd, Family family);
  bool receive_one(std::vector<Answer>& out, int flags);
  bool is_own(std::span<const std::uint8_t> echo, std::uint8_t type, std::uint16_t* sequence) const;

  Fd fd_;
  Family family_;
  std::uint16_t identifier_;  // other processes' answers come here, too
  std::vector<std::uint8_t> packet_;
};

}  // namespace weir
