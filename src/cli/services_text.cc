// What nodes say of Services -> text. Connections and traffic are those of all nodes together;
// where nodes see a backend differently, the text says which.

#include "cli/services_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "cli/table.h"

namespace weir::cli {
namespace {

using api::ServiceBackendInfo;
using api::ServiceFrontendInfo;
using api::ServiceInfo;
using api::ServicePortInfo;

constexpr std::size_t kMostNodesByName = 3;

std::string at(const std::string& address, std::uint16_t port) {
  const bool v6 = address.find(':') != std::string::npos;
  if (port == 0) return address;
  return v6 ? fmt::format("[{}]:{}", address, port) : fmt::format("{}:{}", address, port);
}

std::string key_of(const ServiceInfo& service) { return service.namespace_ + "/" + service.name; }

// A port of the Service as all nodes see it.
struct Port {
  const ServicePortInfo* first = nullptr;
  std::vector<std::pair<std::string, const ServicePortInfo*>> by_node;
};

std::vector<Port> ports_of(const ServiceOnNodes& service) {
  std::vector<Port> ports;
  for (const ServiceInfo& on_node : service) {
    for (const ServicePortInfo& port : on_node.ports) {
      const auto same = std::ranges::find_if(ports, [&](const Port& other) {
        return std::tie(other.first->name, other.first->protocol, other.first->family) ==
               std::tie(port.name, port.protocol, port.family);
      });
      Port& one = same == ports.end() ? ports.emplace_back(Port{&port, {}}) : *same;
      one.by_node.emplace_back(on_node.node, &port);
    }
  }
  return ports;
}

// A backend as all nodes see it.
struct Backend {
  const ServiceBackendInfo* first = nullptr;
  std::vector<std::pair<std::string, const ServiceBackendInfo*>> by_node;
  std::uint64_t connections = 0;
};

std::vector<Backend> backends_of(const Port& port) {
  std::vector<Backend> backends;
  std::map<std::pair<std::string, std::uint16_t>, std::size_t> known;
  for (const auto& [node, on_node] : port.by_node) {
    for (const ServiceBackendInfo& backend : on_node->backends) {
      const auto [it, is_new] = known.try_emplace({backend.address, backend.port}, backends.size());
      if (is_new) backends.push_back({&backend, {}, 0});
      Backend& one = backends[it->second];
      one.by_node.emplace_back(node, &backend);
      one.connections += backend.connections;
    }
  }
  return backends;
}

using Unused = std::string ServiceBackendInfo::*;

std::string nodes_text(const std::vector<std::string>& nodes, std::size_t all) {
  if (nodes.size() <= kMostNodesByName) return fmt::format("{}", fmt::join(nodes, ", "));
  return fmt::format("{} of {} nodes", nodes.size(), all);
}

// "yes", "no: not ready", "on n1; else other node"
std::string use_text(const Backend& backend, Unused unused) {
  std::vector<std::string> users;
  std::set<std::string> reasons;
  for (const auto& [node, seen] : backend.by_node) {
    if ((seen->*unused).empty()) {
      users.push_back(node);
    } else {
      reasons.insert(seen->*unused);
    }
  }
  if (reasons.empty()) return "yes";
  const std::string why = fmt::format("{}", fmt::join(reasons, ", "));
  if (users.empty()) return "no: " + why;
  return fmt::format("on {}; else {}", nodes_text(users, backend.by_node.size()), why);
}

bool has_policy(const Port& port, std::string_view policy) {
  return std::ranges::any_of(port.first->frontends,
                             [=](const auto& frontend) { return frontend.policy == policy; });
}

std::string use_text(const Port& port, const Backend& backend) {
  const std::string cluster = use_text(backend, &ServiceBackendInfo::unused_cluster);
  if (!has_policy(port, "Local")) return cluster;
  const std::string local = use_text(backend, &ServiceBackendInfo::unused_local);
  if (!has_policy(port, "Cluster") || local == cluster) return local;
  return fmt::format("Cluster: {}; Local: {}", cluster, local);
}

bool is_used(const Port& port, const Backend& backend) {
  return std::ranges::any_of(backend.by_node, [&](const auto& on_node) {
    const ServiceBackendInfo& seen = *on_node.second;
    return (has_policy(port, "Cluster") && seen.unused_cluster.empty()) ||
           (has_policy(port, "Local") && seen.unused_local.empty());
  });
}

std::string state_text(const ServiceBackendInfo& backend) {
  if (backend.terminating) return backend.serving ? "draining" : "terminating";
  return backend.ready ? "ready" : "not ready";
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::string backends_text(const Port& port) {
  const auto backends = backends_of(port);
  if (backends.empty()) return "    no backends: connections are rejected\n";
  std::vector<std::vector<std::string>> rows = {
      {"BACKEND", "POD", "NODE", "ZONE", "WEIGHT", "STATE", "NOW", "USED"}};
  for (const Backend& backend : backends) {
    const ServiceBackendInfo& one = *backend.first;
    rows.push_back({at(one.address, one.port), or_dash(one.pod), or_dash(one.node),
                    or_dash(one.zone), fmt::to_string(one.weight), state_text(one),
                    count_text(backend.connections), use_text(port, backend)});
  }
  return table(rows, "    ");
}

std::string port_text(const Port& port) {
  std::string title = port.first->protocol + " " + port.first->family;
  if (!port.first->name.empty()) title = port.first->name + " " + title;
  std::string out = "\n  " + title + "\n";
  std::vector<std::vector<std::string>> rows;
  for (const ServiceFrontendInfo& frontend : port.first->frontends) {
    rows.push_back({frontend.kind, at(frontend.address, frontend.port), frontend.policy});
  }
  out += rows.empty() ? "    not served at any address\n" : table(rows, "    ");
  return out + "\n" + backends_text(port);
}

api::ServiceTraffic traffic_of(const ServiceOnNodes& service) {
  api::ServiceTraffic sum;
  for (const ServiceInfo& on_node : service) {
    const api::ServiceTraffic& one = on_node.traffic;
    sum.connections += one.connections;
    sum.unanswered += one.unanswered;
    sum.bytes_in += one.bytes_in;
    sum.bytes_out += one.bytes_out;
    sum.dropped += one.dropped;
    // Of medians, that of the node with the slowest clients.
    sum.answer_ns = std::max(sum.answer_ns, one.answer_ns);
  }
  return sum;
}

std::string traffic_text(const api::ServiceTraffic& traffic) {
  std::string out = fmt::format("{} connections are over, {} of them unanswered, {} ↑ {} ↓",
                                count_text(traffic.connections), count_text(traffic.unanswered),
                                bytes_text(traffic.bytes_in), bytes_text(traffic.bytes_out));
  if (traffic.answer_ns > 0) out += ", first answer after " + duration_text(traffic.answer_ns);
  if (traffic.dropped > 0) out += fmt::format(", {} drops", count_text(traffic.dropped));
  return out;
}

std::string kind_text(const ServiceInfo& service) {
  std::string out = service.headless ? "headless" : service.type;
  if (service.internal_policy == "Local") out += ", internal traffic policy Local";
  if (service.external_policy == "Local") out += ", external traffic policy Local";
  if (service.affinity_seconds > 0) {
    out += fmt::format(", clients stay for {} s", service.affinity_seconds);
  }
  if (!service.distribution.empty()) out += ", " + service.distribution;
  return out;
}

std::string health_text(const ServiceOnNodes& service) {
  if (service.front().health.port == 0) return "";
  std::vector<std::string> nodes;
  for (const ServiceInfo& on_node : service) {
    const auto& health = on_node.health;
    nodes.push_back(health.trouble.empty()
                        ? fmt::format("{} {}", on_node.node, health.local_endpoints)
                        : fmt::format("{} not served ({})", on_node.node, health.trouble));
  }
  return fmt::format("  health check port {}, endpoints by node: {}\n", service.front().health.port,
                     fmt::join(nodes, ", "));
}

// Each once, whoever says it.
std::set<std::string> notes_of(const ServiceOnNodes& service) {
  std::set<std::string> notes;
  for (const ServiceInfo& on_node : service) {
    notes.insert(on_node.notes.begin(), on_node.notes.end());
  }
  return notes;
}

std::string frontends_text(const std::vector<Port>& ports) {
  std::vector<std::string> out;
  for (const Port& port : ports) {
    for (const ServiceFrontendInfo& frontend : port.first->frontends) {
      std::string text = at(frontend.address, frontend.port) + "/" + port.first->protocol;
      if (std::ranges::find(out, text) == out.end()) out.push_back(std::move(text));
    }
  }
  return out.empty() ? "-" : fmt::format("{}", fmt::join(out, " "));
}

struct Sums {
  std::size_t used = 0;
  std::size_t all = 0;
  std::uint64_t connections = 0;
};

Sums sums_of(const std::vector<Port>& ports) {
  std::map<std::string, bool> backends;  // address -> whether some port uses it
  Sums sums;
  for (const Port& port : ports) {
    for (const Backend& backend : backends_of(port)) {
      backends[backend.first->address] |= is_used(port, backend);
      sums.connections += backend.connections;
    }
  }
  sums.all = backends.size();
  sums.used = static_cast<std::size_t>(
      std::ranges::count_if(backends, [](const auto& one) { return one.second; }));
  return sums;
}

std::vector<std::string> row_of(const ServiceOnNodes& service) {
  const auto ports = ports_of(service);
  const Sums sums = sums_of(ports);
  const auto traffic = traffic_of(service);
  const ServiceInfo& first = service.front();
  const bool served = !ports.empty();
  return {key_of(first) + (notes_of(service).empty() ? "" : " !"),
          first.headless ? "headless" : first.type,
          frontends_text(ports),
          served ? fmt::format("{}/{}", sums.used, sums.all) : "-",
          served ? count_text(sums.connections) : "-",
          served ? count_text(traffic.connections) : "-",
          traffic.answer_ns > 0 ? duration_text(traffic.answer_ns) : "-"};
}

}  // namespace

std::vector<ServiceOnNodes> by_service(std::vector<ServiceInfo> all) {
  std::ranges::stable_sort(
      all, {}, [](const ServiceInfo& one) { return std::tie(one.namespace_, one.name, one.node); });
  std::vector<ServiceOnNodes> out;
  for (ServiceInfo& one : all) {
    if (out.empty() || key_of(out.back().front()) != key_of(one)) out.emplace_back();
    out.back().push_back(std::move(one));
  }
  return out;
}

std::string services_text(const std::vector<ServiceOnNodes>& services) {
  std::vector<std::vector<std::string>> rows = {
      {"SERVICE", "TYPE", "FRONTENDS", "BACKENDS", "NOW", "OVER", "ANSWER"}};
  std::set<std::string> notes;
  for (const ServiceOnNodes& service : services) {
    rows.push_back(row_of(service));
    notes.merge(notes_of(service));
  }
  std::string out = table(rows);
  for (const std::string& note : notes) out += "! " + note + "\n";
  return out;
}

std::string service_text(const ServiceOnNodes& service) {
  std::string out = fmt::format("{}  {}\n", key_of(service.front()), kind_text(service.front()));
  out += "  " + traffic_text(traffic_of(service)) + "\n";
  out += health_text(service);
  for (const std::string& note : notes_of(service)) out += "  ! " + note + "\n";
  for (const Port& port : ports_of(service)) out += port_text(port);
  return out;
}

}  // namespace weir::cli
