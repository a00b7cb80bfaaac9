#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace weir {

// What was before is kept in the state folder, and given back when nobody wants it any more.

// A sysctl of the network that the node's user wants: "net.core.somaxconn=4096".
struct Sysctl {
  std::string key;  // a path below /proc/sys
  std::string value;

  bool operator==(const Sysctl&) const = default;
};

// As sysctl(8) has names: dots between the parts, or slashes, and dots are then a name's own.
// Refuses what is not of the network, and what Weir needs otherwise.
Result<Sysctl> parse_sysctl(const std::string& text);

// What the state folder's files have, values of before: a line KEY=VALUE for each. Other lines are
// passed over: what they name is not for Weir to write.
std::vector<Sysctl> parse_kept_sysctls(const std::string& text);

// Sets those, and gives back others that were set so before. Fails where the kernel has none of
// that name or takes no such value; names it.
Result<void> set_wanted_sysctls(const std::string& state_dir, const std::vector<Sysctl>& wanted);

// Notes what the sysctls are that Weir sets for itself on these links and for all, before it does:
// a link's only once, for later it has Weir's own.
Result<void> remember_own_sysctls(const std::string& state_dir,
                                  const std::vector<std::string>& links);

// All of it is as it was. `done` hears of each change.
using OnGivenBack = std::function<void(const Sysctl& before, const Result<void>& written)>;
void give_back_sysctls(const std::string& state_dir, const OnGivenBack& done);

}  // namespace weir
