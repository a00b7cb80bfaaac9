#include "local/hosts.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "local/naming.h"

namespace weir::local {
namespace {

constexpr std::string_view kHead =
    "# Written by weir; changes are lost.\n"
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n";

std::string pod_names(const Pod& self, const Pod& pod) {
  const auto full = fmt::format("{}.{}", pod.name, pod.namespace_);
  return pod.namespace_ == self.namespace_ ? fmt::format("{} {}", pod.name, full) : full;
}

std::string service_names(const Pod& self, const Service& service) {
  const auto full = fmt::format("{}.{}", service.name, service.namespace_);
  const auto names = fmt::format("{0} {0}.svc {0}.svc.cluster.local", full);
  return service.namespace_ == self.namespace_ ? fmt::format("{} {}", service.name, names) : names;
}

std::vector<const Pod*> backends(const Pod& self, const std::vector<Pod>& pods,
                                 const Service& service) {
  std::vector<const Pod*> result;
  for (const auto& pod : pods) {
    if (pod.ready && !pod.terminating && !pod.finished() && pod.namespace_ == service.namespace_ &&
        service.selects(pod.labels)) {
      result.push_back(&pod);
    }
  }
  const auto rank = [&self](const Pod* pod) { return hash_text(self.name + "/" + pod->name); };
  std::sort(result.begin(), result.end(),
            [&](const Pod* a, const Pod* b) { return rank(a) < rank(b); });
  return result;
}

}  // namespace

std::string render_hosts(const Pod& self) {
  std::string text(kHead);
  for (const auto& address : self.addresses) {
    fmt::format_to(std::back_inserter(text), "{}\t{}\n", address.to_string(), self.name);
  }
  return text;
}

std::string render_hosts(const Pod& self, const std::vector<Pod>& pods,
                         const std::vector<Service>& services) {
  std::string text(kHead);
  const auto add = [&text](const std::vector<Address>& addresses, const std::string& names) {
    for (const auto& address : addresses) {
      fmt::format_to(std::back_inserter(text), "{}\t{}\n", address.to_string(), names);
    }
  };
  for (const auto& pod : pods) {
    if (!pod.finished()) add(pod.addresses, pod_names(self, pod));
  }
  for (const auto& service : services) {
    const std::string names = service_names(self, service);
    add(service.cluster_ips, names);
    if (!service.headless) continue;
    for (const auto* pod : backends(self, pods, service)) add(pod->addresses, names);
  }
  return text;
}

}  // namespace weir::local
