#include "agent/removal.h"

#include <fmt/format.h>

#include <filesystem>

#include "agent/sysctls.h"
#include "agent/uplinks.h"
#include "dataplane/attach.h"
#include "sandbox/conflist.h"
#include "sandbox/record.h"
#include "sys/files.h"
#include "sys/netlink.h"
#include "sys/node_links.h"
#include "sys/rcu.h"

namespace weir {
namespace {

namespace fs = std::filesystem;

class Removal {
 public:
  explicit Removal(std::function<void(const std::string&)> say) : say_(std::move(say)) {}

  void done(const std::string& what, const Result<void>& result) {
    if (result) return say_("removed " + what);
    say_(fmt::format("not removed: {}: {}", what, result.error().text()));
    if (first_) first_ = result.error().within(what);
  }
  void folder(const std::string& path) {
    std::error_code error;
    const auto count = fs::remove_all(path, error);
    if (error) return done(path, errno_error(error.value(), path));
    if (count > 0) done(path, {});
  }
  Result<void> end() { return first_; }

 private:
  std::function<void(const std::string&)> say_;
  Result<void> first_{};
};

void remove_links_and_routes(Removal& removal) {
  auto netlink = Netlink::open();
  if (!netlink) return removal.done("links", netlink.error());
  const auto links = list_links(*netlink);
  if (!links) return removal.done("links", links.error());
  std::vector<std::string> names;
  for (const Link& link : *links) {
    if (is_host_link_name(link.name)) names.push_back(link.name);
  }
  if (!names.empty()) {
    removal.done(fmt::format("{} links of pods", names.size()), remove_links(*netlink, names));
  }
  removal.done("routes to other nodes' pods", ensure_kernel_routes(*netlink, {}));
  removal.done(fmt::format("link {}", kTunnelName), remove_link(*netlink, kTunnelName));
}

}  // namespace

Result<void> remove_from_node(const AgentOptions& options,
                              const std::function<void(const std::string&)>& say) {
  Removal removal(say);
  ExpeditedRcu::end_abandoned();
  // The runtime first: it gives this network no more pods.
  if (!options.cni_conf_dir.empty()) {
    removal.folder(options.cni_conf_dir + "/" + cni::kConflistFile);
  }
  if (!options.cni_bin_dir.empty()) removal.folder(options.cni_bin_dir + "/weir-cni");
  detach_all({options.bpffs});
  removal.folder(options.bpffs);  // links of sockets among the pins: their programs come off
  remove_links_and_routes(removal);
  give_back_sysctls(options.state_dir, [&removal](const Sysctl& before, const auto& written) {
    removal.done(fmt::format("the setting of {}: it is {} again", before.key, before.value),
                 written);
  });
  removal.folder(options.state_dir);
  // Not all that is there: a local cluster of this machine has its files below it.
  for (const char* name : {"agent.sock", "cni.sock", "agent.pid", "rcu-expedited"}) {
    removal.folder(options.run_dir + "/" + name);
  }
  std::error_code ignored;
  fs::remove(options.run_dir, ignored);  // when it is empty
  return removal.end();
}

}  // namespace weir
