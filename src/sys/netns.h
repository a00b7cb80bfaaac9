#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace weir {

// An open network namespace. Holding one keeps the namespace alive.
class Netns {
 public:
  // kNotFound when there is nothing at the path, kInvalid when it is something else than a network
  // namespace (such as the empty file that a deleted named namespace leaves).
  static Result<Netns> open(const std::string& path);
  // The calling thread's.
  static Result<Netns> current();

  int fd() const { return fd_.get(); }
  bool same_as(const Netns& other) const { return dev_ == other.dev_ && inode_ == other.inode_; }
  dev_t dev() const { return dev_; }
  ino_t inode() const { return inode_; }
  // The kernel's number of the namespace, never used again: tells a namespace from a later one that
  // got its inode.
  Result<std::uint64_t> cookie() const;

 private:
  Netns(Fd fd, dev_t dev, ino_t inode) : fd_(std::move(fd)), dev_(dev), inode_(inode) {}
  static Result<Netns> from_fd(Fd fd, const std::string& path);

  Fd fd_;
  dev_t dev_;
  ino_t inode_;
};

// The calling thread is in another namespace until this ends, on the same thread.
class NetnsScope {
 public:
  static Result<NetnsScope> enter(const Netns& netns);
  NetnsScope(NetnsScope&&) = default;
  NetnsScope& operator=(NetnsScope&&) = delete;
  ~NetnsScope();

 private:
  explicit NetnsScope(Fd home) : home_(std::move(home)) {}
  Fd home_;
};

// Sysctls of the calling thread's namespace: key as a path below /proc/sys ("net/ipv4/ip_forward").
Result<std::string> read_sysctl(std::string_view key);
// Writes only when the value differs.
Result<void> write_sysctl(std::string_view key, std::string_view value);

// SO_NETNS_COOKIE of the calling thread's namespace.
Result<std::uint64_t> current_netns_cookie();

}  // namespace weir
