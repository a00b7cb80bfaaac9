#include "cli/status_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <bit>

#include "cli/table.h"
#include "observe/flow.h"

namespace weir::cli {
namespace {

using Rows = std::vector<std::vector<std::string>>;

std::string percent(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  const double value = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  return part > 0 && value < 1 ? "< 1 %" : fmt::format("{:.0f} %", value);
}

// An IPv6 range holds more than anybody reads.
std::string size_text(std::uint64_t size) {
  constexpr std::uint64_t kReadable = 1'000'000'000'000;
  return size < kReadable ? count_text(size) : fmt::format("2^{}", std::bit_width(size));
}

std::string devices_text(const api::Status& status) {
  std::vector<std::string> parts;
  for (const api::Device& device : status.devices) {
    const std::string xdp = device.xdp.empty() ? "" : fmt::format(", XDP: {}", device.xdp);
    parts.push_back(fmt::format("{} ({}, MTU {}{})", device.name, device.role, device.mtu, xdp));
  }
  return parts.empty() ? "none" : fmt::format("{}", fmt::join(parts, ", "));
}

std::string big_tcp_text(const api::Status& status) {
  if (status.gso_max_size <= 65536) return fmt::format("no: {}", status.gso_limit);
  return fmt::format("packets of up to {} bytes{}{}", status.gso_max_size,
                     status.gso_limit.empty() ? "" : ": ", status.gso_limit);
}

std::string attach_text(const api::Status& status) {
  if (status.attach_reason.empty()) return status.attach;
  return fmt::format("{} ({})", status.attach, status.attach_reason);
}

std::string summary(const api::Status& status) {
  if (!status.waiting_for.empty()) {
    const Rows rows = {{"agent", fmt::format("{} up {}, kernel {}", status.version,
                                             uptime_text(status.uptime_seconds), status.kernel)},
                       {"starting", status.waiting_for}};
    return table(rows, "  ");
  }
  const char* programs = status.adopted ? "adopted, traffic went on" : "loaded at the start";
  const Rows rows = {
      {"agent", fmt::format("{} up {}, kernel {}", status.version,
                            uptime_text(status.uptime_seconds), status.kernel)},
      {"programs",
       fmt::format("build {}, attached by {}, {}", status.build_id, attach_text(status), programs)},
      {"devices", devices_text(status)},
      {"tunnel", fmt::format("{}, pods' MTU {}", status.tunnel, status.pod_mtu)},
      {"BIG TCP", big_tcp_text(status)},
      {"pods", fmt::format("{}", count_text(status.endpoints))},
      {"connections", count_text(status.connections)},
      {"events lost", count_text(status.events_lost)},
  };
  return table(rows, "  ");
}

std::string pools_text(const api::Status& status) {
  Rows rows = {{"POOL", "SIZE", "USED", "RESTING", "FULL"}};
  for (const api::Pool& pool : status.pools) {
    rows.push_back({pool.cidr, size_text(pool.size), count_text(pool.used),
                    count_text(pool.resting), percent(pool.used, pool.size)});
  }
  return rows.size() == 1 ? "" : fmt::format("\n{}", table(rows, "  "));
}

std::string maps_text(const api::Status& status) {
  Rows rows = {{"TABLE", "ENTRIES", "CAPACITY", "FULL"}};
  for (const api::MapStatus& map : status.maps) {
    rows.push_back({map.name, count_text(map.entries), count_text(map.capacity),
                    percent(map.entries, map.capacity)});
  }
  return rows.size() == 1 ? "" : fmt::format("\n{}", table(rows, "  "));
}

std::string drop_meaning(const api::HookTotals& hook, const api::DropTotal& drop) {
  const auto reason = parse_drop(drop.reason);
  std::string text(hook.hook == hook_name(WEIR_HOOK_KERNEL) ? kernel_drop_text(drop.reason)
                   : reason                                 ? drop_text(*reason)
                                                            : "");
  std::vector<std::string> pods;
  for (const api::PodDrops& one : drop.pods) {
    pods.push_back(fmt::format("{} {}", one.pod, count_text(one.packets)));
  }
  return pods.empty() ? text : fmt::format("{}: {}", text, fmt::join(pods, ", "));
}

std::string hooks_text(const api::Status& status) {
  Rows rows = {{"PACKETS AT", "IN", "FORWARDED", "TO STACK", "DROPPED"}};
  Rows drops;
  for (const api::HookTotals& hook : status.hooks) {
    std::uint64_t dropped = 0;
    for (const api::DropTotal& drop : hook.drops) {
      dropped += drop.packets;
      drops.push_back({hook.hook, count_text(drop.packets), drop.reason, drop_meaning(hook, drop)});
    }
    rows.push_back({hook.hook, count_text(hook.packets_in), count_text(hook.forwarded),
                    count_text(hook.to_stack), count_text(dropped)});
  }
  std::string out = rows.size() == 1 ? "" : fmt::format("\n{}", table(rows, "  "));
  if (drops.empty()) return out;
  drops.insert(drops.begin(), {"DROPPED AT", "PACKETS", "REASON", "MEANING"});
  return fmt::format("{}\n{}", out, table(drops, "  "));
}

std::string others_text(const api::Status& status) {
  Rows rows = {{"ALSO ON", "DIRECTION", "BY", "PROGRAM", "RUNS"}};
  for (const api::OtherProgram& one : status.other_programs) {
    rows.push_back({one.link, one.direction, one.attach, one.name, one.order + " Weir's"});
  }
  return rows.size() == 1 ? "" : fmt::format("\n{}", table(rows, "  "));
}

}  // namespace

std::string status_text(const api::Status& status) {
  std::string out = fmt::format("node {}\n", status.node) + summary(status) + others_text(status) +
                    pools_text(status) + maps_text(status) + hooks_text(status);
  for (const std::string& warning : status.warnings) {
    out += fmt::format("\n  warning: {}\n", warning);
  }
  return out;
}

std::string endpoints_text(const std::vector<api::EndpointInfo>& endpoints) {
  Rows rows = {{"NAMESPACE", "POD", "WORKLOAD", "NODE", "ADDRESSES", "LINK"}};
  for (const api::EndpointInfo& endpoint : endpoints) {
    rows.push_back({endpoint.namespace_, endpoint.pod, endpoint.workload, endpoint.node,
                    fmt::format("{}", fmt::join(endpoint.addresses, ", ")), endpoint.interface});
  }
  return table(rows);
}

}  // namespace weir::cli
