#include "dataplane/clsact_hooks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "sys/clsact.h"
#include "sys/links.h"
#include "sys/rcu.h"

namespace weir {
namespace {

constexpr std::string_view kMark = "clsact-";

const Filter* find_own(const std::vector<Filter>& filters) {
  const auto own = std::ranges::find_if(filters, &Filter::is_ours);
  return own == filters.end() ? nullptr : &*own;
}

}  // namespace

Result<Netlink*> ClsactHooks::netlink() {
  if (!netlink_) {
    WEIR_ASSIGN(auto opened, Netlink::open());
    netlink_ = std::move(opened);
  }
  return &*netlink_;
}

std::string ClsactHooks::mark(std::uint32_t ifindex) const {
  return fmt::format("{}/{}{}", paths_.links(), kMark, ifindex);
}

// An agent that dies between the two leaves a mark of what is not there: harmless.
Result<void> ClsactHooks::ensure_clsact(Netlink& netlink, const std::string& ifname,
                                        std::uint32_t ifindex) {
  WEIR_ASSIGN(const std::string kind, find_ingress_qdisc(netlink, ifindex));
  if (kind == "clsact") return {};
  if (!kind.empty()) {
    return Error(Code::kExists,
                 fmt::format("{0} has the queueing discipline {1} of something else, where Weir "
                             "needs clsact: tc qdisc del dev {0} {1}",
                             ifname, kind));
  }
  WEIR_TRY(make_pin_dir(mark(ifindex)));
  Batch batch;
  request::add_clsact(batch, ifindex);
  return netlink.run(batch);
}

Result<bool> ClsactHooks::attach(const std::string& ifname, std::uint32_t ifindex,
                                 Direction direction, int program) {
  const bool egress = direction == Direction::kEgress;
  WEIR_ASSIGN(Netlink * netlink, this->netlink());
  WEIR_ASSIGN(const auto filters, list_filters(*netlink, ifindex, egress));
  WEIR_ASSIGN(const std::uint32_t id, program_id(program));
  indexes_[ifname] = ifindex;
  const Filter* own = find_own(filters);
  if (own != nullptr && own->program == id) return false;
  const ExpeditedRcu expedited;  // as for TCX, if less often
  if (own == nullptr) WEIR_TRY(ensure_clsact(*netlink, ifname, ifindex));
  Batch batch;
  request::put_filter(batch, ifindex, egress, program, "weir_" + program_name(id));
  if (auto done = netlink->run(batch); !done) return done.error().within(ifname);
  return own == nullptr;
}

bool ClsactHooks::has(const std::string& /*ifname*/, std::uint32_t ifindex, Direction direction) {
  if (direction == Direction::kXdp) return false;
  const auto netlink = this->netlink();
  if (!netlink) return false;
  const auto filters = list_filters(**netlink, ifindex, direction == Direction::kEgress);
  return filters && find_own(*filters) != nullptr;
}

void ClsactHooks::detach(const std::string& ifname, Direction direction) {
  const auto netlink = this->netlink();
  if (direction == Direction::kXdp || !netlink) return;
  const auto link = find_link(**netlink, ifname);
  if (!link || !has(ifname, link->index, direction)) return;
  Batch batch;
  request::delete_filter(batch, link->index, direction == Direction::kEgress);
  (void)(*netlink)->run(batch);
}

void ClsactHooks::leave(const std::string& ifname) {
  indexes_.erase(ifname);
  const auto netlink = this->netlink();
  const auto link = netlink ? find_link(**netlink, ifname) : netlink.error();
  if (!link || rmdir(mark(link->index).c_str()) != 0) return;
  const auto left = list_filters(**netlink, link->index);
  if (!left || !left->empty()) return;
  Batch batch;
  request::delete_clsact(batch, link->index);
  (void)(*netlink)->run(batch);
}

void ClsactHooks::forget(const std::string& ifname) {
  const auto known = indexes_.find(ifname);
  if (known == indexes_.end()) return;
  rmdir(mark(known->second).c_str());
  indexes_.erase(known);
}

std::vector<std::string> ClsactHooks::attached() {
  const auto netlink = this->netlink();
  if (!netlink) return {};
  const auto candidates = list_clsact(**netlink);
  const auto links = list_links(**netlink);
  if (!candidates || !links) return {};
  const auto own = marked(*candidates);
  std::vector<std::string> names;
  for (const Link& link : *links) {
    if (std::ranges::find(*candidates, link.index) == candidates->end()) continue;
    const auto filters = list_filters(**netlink, link.index);
    const bool ours = filters && find_own(*filters) != nullptr;
    if (ours || own.contains(link.index)) names.push_back(link.name);
  }
  return names;
}

// Other marks are of links that went while no agent was there.
std::set<std::uint32_t> ClsactHooks::marked(const std::vector<std::uint32_t>& there) const {
  std::set<std::uint32_t> out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths_.links(), ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kMark)) continue;
    std::uint32_t index = 0;
    std::from_chars(name.data() + kMark.size(), name.data() + name.size(), index);
    if (std::ranges::find(there, index) != there.end()) {
      out.insert(index);
    } else {
      rmdir(entry.path().c_str());
    }
  }
  return out;
}

std::vector<OtherProgram> ClsactHooks::others(const std::string& /*ifname*/,
                                              std::uint32_t ifindex) {
  std::vector<OtherProgram> out;
  const auto netlink = this->netlink();
  if (!netlink) return out;
  for (const Direction direction : {Direction::kIngress, Direction::kEgress}) {
    const auto filters = list_filters(**netlink, ifindex, direction == Direction::kEgress);
    bool before = filters && find_own(*filters) != nullptr;
    for (const Filter& one : filters.value_or(std::vector<Filter>())) {
      if (one.is_ours()) {
        before = false;
        continue;
      }
      out.push_back({direction, "clsact", one.name.empty() ? one.kind : one.name, before});
    }
  }
  return out;
}

}  // namespace weir
