#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "sys/netns.h"

namespace weir {

// Requests that are sent together. A message takes attributes until the next one is added.
class Batch {
 public:
  Batch();

  // The message's fixed header, zeroed, valid until the next call. `noun` names the message in
  // errors.
  template <typename Header>
  Header* add(std::uint16_t type, std::uint16_t flags, std::string noun) {
    return static_cast<Header*>(add_raw(type, flags, sizeof(Header), std::move(noun)));
  }
  void put(std::uint16_t type, std::string_view bytes);
  void put_u8(std::uint16_t type, std::uint8_t value);
  void put_u16(std::uint16_t type, std::uint16_t value);
  void put_u32(std::uint16_t type, std::uint32_t value);
  void put_string(std::uint16_t type, const std::string& value);
  // Attributes that follow are inside, until end() with the returned mark.
  std::size_t begin(std::uint16_t type);
  // As begin, and a fixed header of the nested attribute's own comes first.
  std::size_t begin_with(std::uint16_t type, std::string_view header);
  void end(std::size_t mark);
  // This answer to the latest message counts as success.
  void tolerate(int saved_errno) { messages_.back().tolerated = saved_errno; }

  bool empty() const { return messages_.empty(); }

 private:
  friend class Netlink;
  struct Message {
    std::size_t offset;
    std::string noun;
    int tolerated = 0;
  };

  void* add_raw(std::uint16_t type, std::uint16_t flags, std::size_t size, std::string noun);
  nlmsghdr* latest();

  std::vector<char> buffer_;
  std::size_t used_ = 0;
  std::vector<Message> messages_;
};

// A NETLINK_ROUTE socket, non-blocking, that hears of what changes in this thread's namespace.
// groups: RTMGRP_*.
Result<Fd> listen_netlink(std::uint32_t groups);

// A NETLINK_ROUTE socket. It stays in the namespace where it was opened, whichever thread uses it.
class Netlink {
 public:
  static Result<Netlink> open();
  static Result<Netlink> open_in(const Netns& netns);

  // One exchange. The kernel carries out all messages, in order, also after one has failed: the
  // first failure is returned, and the caller undoes.
  Result<void> run(Batch& batch);

  // Calls `each` for every answer to a dump or get. A dump that changed under way is begun anew,
  // and `restart` (may be empty) is called before.
  Result<void> dump(Batch& request, const std::function<void(const nlmsghdr*)>& each,
                    const std::function<void()>& restart);

  int fd() const { return fd_.get(); }

 private:
  static constexpr std::size_t kReplyBytes = 32768;  // the kernel sends no longer ones
  explicit Netlink(Fd fd) : fd_(std::move(fd)), reply_(kReplyBytes) {}
  Result<void> send(Batch& batch, bool ack_last);
  Result<std::size_t> receive();

  Fd fd_;
  std::uint32_t sequence_ = 1;  // of the next message
  std::vector<char> reply_;
};

}  // namespace weir
