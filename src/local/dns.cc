#include "local/dns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>

#include "sys/files.h"

namespace weir::local {
namespace {

constexpr std::uint64_t kHost = 10;  // of the Service, in each range of clusterIPs
constexpr int kTtl = 5;

// Ends only after its Service has been told.
constexpr const char* kPlugins = R"(  errors
  health {
    lameduck 5s
  }
  ready
)";

constexpr const char* kManifests = R"yaml(
apiVersion: v1
kind: Namespace
metadata: {{name: {ns}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {ns}, labels: {{k8s-app: kube-dns}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{k8s-app: kube-dns}}}}
  template:
    metadata: {{labels: {{k8s-app: kube-dns}}}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: coredns
          command: [{program}, -conf, {folder}/Corefile]
          ports:
            - {{name: dns, containerPort: 53, protocol: UDP}}
            - {{name: dns-tcp, containerPort: 53, protocol: TCP}}
          readinessProbe: {{httpGet: {{path: /ready, port: 8181}}, periodSeconds: 2}}
---
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: {ns}, labels: {{k8s-app: kube-dns}}}}
spec:
  selector: {{k8s-app: kube-dns}}
  ipFamilyPolicy: PreferDualStack
  clusterIPs: [{addresses}]
  ports:
    - {{name: dns, port: 53, targetPort: dns, protocol: UDP}}
    - {{name: dns-tcp, port: 53, targetPort: dns-tcp, protocol: TCP}}
)yaml";

std::vector<Address> addresses(const Cluster& cluster) {
  std::vector<Address> result;
  for (const auto& range : service_cidrs(cluster)) result.push_back(range.address().plus(kHost));
  return result;
}

}  // namespace

Address dns_address(const Cluster& cluster) { return addresses(cluster).front(); }

Manifests dns_manifests(const Cluster& cluster) {
  std::string list;
  for (const auto& address : addresses(cluster)) {
    list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", address.to_string());
  }
  const auto yaml =
      fmt::format(kManifests, fmt::arg("ns", kDnsNamespace), fmt::arg("name", kDnsDeployment),
                  fmt::arg("replicas", std::min<std::uint64_t>(cluster.nodes, 2)),
                  fmt::arg("program", kDnsProgram), fmt::arg("folder", kDnsFolder),
                  fmt::arg("addresses", list));
  auto result = parse_manifests(yaml, "dns");
  if (!result.ok()) std::abort();
  return std::move(result.manifests);
}

Result<void> DnsFiles::open(const Cluster& cluster) {
  serial_ = static_cast<std::uint32_t>(time(nullptr));
  for (const auto& address : addresses(cluster)) {
    server_ += fmt::format("ns.dns.{}. {} {}\n", kClusterDomain, address.is_v4() ? "A" : "AAAA",
                           address.to_string());
  }
  server_ += fmt::format("dns-version.{}. TXT \"1.1.0\"\n", kClusterDomain);
  WEIR_TRY(make_dirs(folder_, 0755));
  std::string corefile = fmt::format(".:53 {{\n{}", kPlugins);
  for (const char* zone : {kClusterDomain, "in-addr.arpa", "ip6.arpa", "."}) {
    const auto* file = std::string_view(zone) == "." ? "root" : zone;
    corefile += fmt::format("  file {}/{} {} {{\n    reload 250ms\n  }}\n", kDnsFolder, file, zone);
    WEIR_TRY(write_zone(zone, ""));
  }
  return write_file_atomic(folder_ + "/Corefile", corefile + "}\n", 0644);
}

// Names that no zone has do not exist: the cluster has no resolver of the world outside.
Result<void> DnsFiles::write_zone(const char* zone, const std::string& records) {
  const bool root = std::string_view(zone) == ".";
  const auto head = fmt::format(
      "$TTL {0}\n{1} SOA ns.dns.{2}. hostmaster.{2}. {3} 7200 1800 86400 {0}\n{1} NS ns.dns.{2}.\n",
      kTtl, root ? "." : fmt::format("{}.", zone), kClusterDomain, ++serial_);
  const auto& own = std::string_view(zone) == kClusterDomain ? server_ : std::string();
  return write_file_atomic(fmt::format("{}/{}", folder_, root ? "root" : zone),
                           head + own + records, 0644);
}

Result<void> DnsFiles::write(const char* zone, const std::string& before, const std::string& now) {
  if (before == now) return {};
  return write_zone(zone, now);
}

Result<void> DnsFiles::update(const DnsZones& zones) {
  WEIR_TRY(write(kClusterDomain, zones_.cluster, zones.cluster));
  WEIR_TRY(write("in-addr.arpa", zones_.reverse4, zones.reverse4));
  WEIR_TRY(write("ip6.arpa", zones_.reverse6, zones.reverse6));
  zones_ = zones;
  return {};
}

}  // namespace weir::local
