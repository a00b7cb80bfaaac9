#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace weir {

struct PoolUse {
  std::string range;
  std::uint64_t size = 0;  // addresses that pods can get, saturated
  std::uint64_t used = 0;
  std::uint64_t resting = 0;  // freed lately
  std::uint64_t reused_early = 0;
};

// A freed address and when, on the clock of the pool's now().
struct FreedAddress {
  Address address;
  std::uint64_t freed_ns = 0;
};

// A source of addresses of one family for this node's pods. An owner holds at most one.
class AddressPool {
 public:
  virtual ~AddressPool() = default;

  virtual Family family() const = 0;
  // The owner's address if it has one already. With `requested`, that one or an Error: kExists when
  // it is another's, kUnavailable while it rests, kInvalid outside of the pool.
  virtual Result<Address> allocate(const std::string& owner,
                                   const std::optional<Address>& requested) = 0;
  // False: the owner had none.
  virtual bool release(const std::string& owner) = 0;
  // The owner had the address before a restart. Also takes addresses that the pool no longer
  // covers, for their pods live on.
  virtual Result<void> restore(const std::string& owner, const Address& address) = 0;

  virtual PoolUse use() const = 0;
  // What has to survive a restart besides the owners.
  virtual std::vector<FreedAddress> resting() const = 0;
  virtual void restore_resting(const std::vector<FreedAddress>& freed) = 0;
};

// The addresses of one CIDR. The lowest that was never freed comes first, then the one freed
// longest ago. A freed address rests; earlier reuse happens only when nothing else is left, and is
// told. Not given: IPv4 network, first (the gateway's by custom) and broadcast; IPv6 the first two.
class CidrPool : public AddressPool {
 public:
  struct Options {
    std::uint64_t rest_ns = 30'000'000'000;
    // Nanoseconds on a clock that never jumps and runs on over restarts of the program.
    std::function<std::uint64_t()> now;
    std::function<void(const std::string&)> note;  // for the log
  };

  CidrPool(const Cidr& cidr, Options options);

  Family family() const override { return cidr_.family(); }
  Result<Address> allocate(const std::string& owner,
                           const std::optional<Address>& requested) override;
  bool release(const std::string& owner) override;
  Result<void> restore(const std::string& owner, const Address& address) override;
  PoolUse use() const override;
  std::vector<FreedAddress> resting() const override;
  void restore_resting(const std::vector<FreedAddress>& freed) override;

 private:
  // Freed addresses in order of freeing; the serial number orders those freed at one instant.
  using FreedKey = std::pair<std::uint64_t, std::uint64_t>;

  bool gives(const Address& address) const;
  bool is_fresh(const Address& address) const;
  bool rests(std::uint64_t freed_ns) const;
  Result<Address> take(const std::string& owner, const Address& address);
  Result<Address> allocate_requested(const std::string& owner, const Address& address);
  std::optional<Address> next_fresh();
  void add_freed(const Address& address, std::uint64_t freed_ns);
  void forget_freed(const Address& address);
  Error exhausted() const;

  Cidr cidr_;
  Options options_;
  Address first_;
  std::uint64_t size_ = 0;
  std::uint64_t cursor_ = 0;  // offset from first_: everything below is used or freed
  std::uint64_t serial_ = 0;
  std::uint64_t reused_early_ = 0;
  std::map<std::string, Address> by_owner_;
  std::unordered_map<Address, std::string> by_address_;
  std::map<FreedKey, Address> freed_;
  std::unordered_map<Address, FreedKey> freed_keys_;
};

}  // namespace weir
