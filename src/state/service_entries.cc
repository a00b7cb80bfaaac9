#include "state/service_entries.h"

#include <fmt/format.h>

#include <algorithm>

#include "abi/service.h"

namespace weir {
namespace {

constexpr std::pair<std::uint32_t, std::string_view> kFlagNames[] = {
    {WEIR_SERVICE_TWO_SCOPES, "two-scopes"},
    {WEIR_SERVICE_EXTERNAL, "external"},
    {WEIR_SERVICE_LOCAL, "local"},
    {WEIR_SERVICE_SOURCE_RANGES, "source-ranges"},
    {WEIR_SERVICE_OTHER_PORTS, "other-ports"},
    {WEIR_SERVICE_RING, "ring"},
    {WEIR_SERVICE_DSR, "dsr"},
    {WEIR_SERVICE_HOST_PORT, "host-port"},
};

// "10.96.0.7:80", "[fd00::7]:80".
std::string place(const Address& address, std::uint16_t port) {
  return fmt::format(fmt::runtime(address.is_v4() ? "{}:{}" : "[{}]:{}"), address.to_string(),
                     port);
}

std::string flags_text(std::uint32_t flags) {
  std::vector<std::string> out;
  for (const auto& [flag, name] : kFlagNames) {
    if ((flags & flag) != 0) out.emplace_back(name);
    flags &= ~flag;
  }
  if (flags != 0) out.push_back(fmt::format("{:#x}", flags));
  return out.empty() ? "none" : fmt::format("{}", fmt::join(out, "+"));
}

std::string port_line(const std::string& key, const ServicePortEntries& entries) {
  if (entries.frontends.empty()) return key + " gone";
  std::vector<std::string> ranges;
  for (const Cidr& range : entries.source_ranges) ranges.push_back(range.to_string());
  return fmt::format("{} cluster={} local={} affinity={}s source-ranges={}", key,
                     entries.cluster.size(), entries.local.size(), entries.affinity_seconds,
                     ranges.empty() ? "any" : fmt::format("{}", fmt::join(ranges, ",")));
}

std::string frontend_line(const std::string& key, const ServiceFrontend& frontend) {
  return fmt::format("{} frontend={} scope={} set={} flags={}", key,
                     place(frontend.address, frontend.port),
                     frontend.scope == WEIR_SCOPE_CLUSTER ? "cluster" : "any",
                     frontend.local_set ? "local" : "cluster", flags_text(frontend.flags));
}

std::string backend_line(const std::string& key, const ServiceBackend& backend,
                         std::string_view sets) {
  return fmt::format("{} backend={} sets={} node={} weight={}", key,
                     place(backend.address, backend.port), sets,
                     backend.this_node ? "this" : "other", backend.weight);
}

void add_backends(std::vector<std::string>& lines, const std::string& key,
                  const ServicePortEntries& entries) {
  std::map<ServiceBackend, std::string> sets;
  for (const ServiceBackend& backend : entries.cluster) sets[backend] = "cluster";
  for (const ServiceBackend& backend : entries.local) {
    std::string& text = sets[backend];
    text += text.empty() ? "local" : "+local";
  }
  for (const auto& [backend, text] : sets) lines.push_back(backend_line(key, backend, text));
}

}  // namespace

std::string ServicePortKey::to_string() const {
  return fmt::format("{}:{}/{}/{}", object.to_string(), port, protocol_name(protocol),
                     family == Family::kIpv4 ? "IPv4" : "IPv6");
}

std::vector<std::string> to_lines(const ServiceChanges& changes) {
  std::vector<std::string> lines;
  for (const auto& [key, entries] : changes) {
    const std::string name = key.to_string();
    lines.push_back(port_line(name, entries));
    for (const ServiceFrontend& frontend : entries.frontends) {
      lines.push_back(frontend_line(name, frontend));
    }
    add_backends(lines, name, entries);
  }
  return lines;
}

}  // namespace weir
