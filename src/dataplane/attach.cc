#include "dataplane/attach.h"

#include <set>

#include "sys/rcu.h"

namespace weir {

Result<bool> Attacher::attach(const std::string& ifname, std::uint32_t ifindex, Direction direction,
                              int program) {
  if (direction == Direction::kXdp) return links_.attach(ifname, ifindex, direction, program);
  const auto key = std::pair(ifname, direction);
  if (settled_.contains(key)) return wanted().attach(ifname, ifindex, direction, program);
  WEIR_ASSIGN(const bool fresh, move(ifname, ifindex, direction, program));
  settled_.insert(key);
  return fresh;
}

// The new comes before the old goes: a packet that meets none would go unjudged. One that meets
// both is judged by the first, which is TCX's whichever is the new one; the other lets it be
// (bpf/lib/state.h).
Result<bool> Attacher::move(const std::string& ifname, std::uint32_t ifindex, Direction direction,
                            int program) {
  const bool both = former().has(ifname, ifindex, direction);
  if (both) moving_(true);
  auto fresh = wanted().attach(ifname, ifindex, direction, program);
  if (both && fresh) {
    const ExpeditedRcu expedited;
    former().detach(ifname, direction);
  }
  if (both) moving_(false);
  return fresh && both ? Result<bool>(false) : fresh;
}

void Attacher::detach(const std::string& ifname) {
  const ExpeditedRcu expedited;
  for (const Direction direction : kDirections) detach(ifname, direction);
  filters_.leave(ifname);
}

void Attacher::detach(const std::string& ifname, Direction direction) {
  links_.detach(ifname, direction);
  filters_.detach(ifname, direction);
  settled_.erase({ifname, direction});
}

void Attacher::forget(const std::string& ifname) {
  links_.forget(ifname);
  filters_.forget(ifname);
  for (const Direction direction : kDirections) settled_.erase({ifname, direction});
}

std::vector<std::string> Attacher::attached() {
  const auto links = links_.attached();
  const auto filters = filters_.attached();
  std::set<std::string> names(links.begin(), links.end());
  names.insert(filters.begin(), filters.end());
  return {names.begin(), names.end()};
}

// The kernel runs clsact's after all of TCX.
std::vector<OtherProgram> Attacher::others(const std::string& ifname, std::uint32_t ifindex) {
  std::vector<OtherProgram> out = links_.others(ifname, ifindex);
  const auto filters = filters_.others(ifname, ifindex);
  out.insert(out.end(), filters.begin(), filters.end());
  return out;
}

void detach_all(const PinPaths& paths) {
  Attacher attacher(paths, false, [](bool) {});
  for (const std::string& name : attacher.attached()) attacher.detach(name);
}

}  // namespace weir
