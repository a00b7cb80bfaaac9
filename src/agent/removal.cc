#include "agent/removal.h"

#include <fmt/format.h>

#include <filesystem>
#include <sstream>

#include "agent/uplinks.h"
#include "sandbox/conflist.h"
#include "sandbox/record.h"
#include "sys/files.h"
#include "sys/netlink.h"
#include "sys/netns.h"
#include "sys/node_links.h"

namespace weir {
namespace {

namespace fs = std::filesystem;

std::string sysctls_file(const std::string& state_dir) { return state_dir + "/sysctls"; }

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

void give_back_sysctls(Removal& removal, const std::string& state_dir) {
  const auto text = read_file(sysctls_file(state_dir));
  std::istringstream lines(text.value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) continue;
    const std::string key = line.substr(0, equals);
    const auto now = read_sysctl(key);
    if (!now || *now == line.substr(equals + 1)) continue;  // of a link that is gone
    removal.done(fmt::format("the setting of {}: it is {} again", key, line.substr(equals + 1)),
                 write_sysctl(key, line.substr(equals + 1)));
  }
}

}  // namespace

Result<void> remember_sysctls(const std::string& state_dir, const std::vector<std::string>& links) {
  const std::string path = sysctls_file(state_dir);
  if (fs::exists(path)) return {};
  std::vector<std::string> keys = {"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"};
  for (const std::string& link : links) keys.push_back("net/ipv4/conf/" + link + "/accept_local");
  std::string text;
  for (const std::string& key : keys) {
    if (const auto value = read_sysctl(key)) text += fmt::format("{}={}\n", key, *value);
  }
  return write_file_atomic(path, text);
}

Result<void> remove_from_node(const AgentOptions& options,
                              const std::function<void(const std::string&)>& say) {
  Removal removal(say);
  // The runtime first: it gives this network no more pods.
  if (!options.cni_conf_dir.empty()) {
    removal.folder(options.cni_conf_dir + "/" + cni::kConflistFile);
  }
  if (!options.cni_bin_dir.empty()) removal.folder(options.cni_bin_dir + "/weir-cni");
  removal.folder(options.bpffs);  // links among the pins: the programs come off
  remove_links_and_routes(removal);
  give_back_sysctls(removal, options.state_dir);
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
