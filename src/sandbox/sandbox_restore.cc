// Start and sweep: what is on disk and in the kernel becomes this run's state, or goes.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "sandbox/gateway.h"
#include "sandbox/pool_state.h"
#include "sandbox/sandbox.h"
#include "sys/files.h"

namespace weir {
namespace {

constexpr std::chrono::minutes kSpoolPatience(1);  // writing takes milliseconds

// Ours by name and by the link address that only pod links have.
bool is_pod_link(const Link& link) {
  return link.kind == "veth" && link.address == kGatewayLinkAddress && is_host_link_name(link.name);
}

// Records of earlier versions have none.
void learn_cookie(Endpoint& endpoint) {
  if (endpoint.netns_cookie != 0) return;
  const auto netns = Netns::open(endpoint.netns);
  const auto cookie = netns ? netns->cookie() : Result<std::uint64_t>(netns.error());
  if (cookie) endpoint.netns_cookie = *cookie;
}

}  // namespace

Result<void> Sandboxes::restore() {
  WEIR_TRY(remove_temporaries(config_.state_dir));
  WEIR_TRY(remove_temporaries(config_.state_dir + "/sandboxes"));
  WEIR_TRY(restore_records());
  WEIR_TRY(restore_pools());
  WEIR_ASSIGN(const auto links, list_links(netlink_));
  restore_live(links);
  resize_links(links);
  sweep_links(links);
  apply_spool();
  return {};
}

Result<void> Sandboxes::restore_records() {
  const std::string folder = config_.state_dir + "/sandboxes/";
  WEIR_ASSIGN(const auto names, list_dir(folder));
  for (const auto& name : names) {
    auto text = read_file(folder + name);
    auto record = text ? decode_record(*text) : Result<Record>(text.error());
    if (record && record_file_name(record->id()) == name) {
      next_handle_ = std::max(next_handle_, record->endpoint.handle + 1);
      records_.emplace(record->id(), std::move(*record));
      continue;
    }
    note_(fmt::format("{}{} is kept, but cannot be read: {}", folder, name,
                      record ? "it belongs to another" : record.error().text()));
    const auto colon = name.rfind(':');
    if (colon == std::string::npos || !name.ends_with(".json")) continue;
    kept_links_.push_back(
        host_link_name({name.substr(0, colon), name.substr(colon + 1, name.size() - colon - 6)}));
  }
  return {};
}

Result<void> Sandboxes::restore_pools() {
  const std::string path = config_.state_dir + "/pools.json";
  auto state = load_pool_state(path);
  if (!state) {
    note_(fmt::format("{} is begun anew: {}", path, state.error().text()));
    state = PoolState{};
  }
  next_handle_ = saved_handle_ = std::max(next_handle_, state->next_handle);
  for (const auto& [id, record] : records_) {
    for (const auto& address : record.endpoint.addresses) {
      for (const auto& pool : pools_) {
        if (pool->family() != address.family()) continue;
        if (auto given = pool->restore(id.owner(), address); !given) note_(given.error().text());
      }
    }
  }
  for (const auto& pool : pools_) pool->restore_resting(state->resting);
  return {};
}

// Why an attachment counts as dead; empty: it lives.
std::string Sandboxes::death_of(const Record& record, const std::vector<Link>& links) const {
  if (record.deleting) return "its DEL was interrupted";
  const auto link = std::ranges::find(links, record.endpoint.host_ifname, &Link::name);
  if (link == links.end() || link->index != record.endpoint.host_ifindex) {
    return "its link is gone";
  }
  const auto netns = Netns::open(record.endpoint.netns);
  const bool gone =
      !netns && (netns.error().code() == Code::kNotFound || netns.error().code() == Code::kInvalid);
  return gone ? "its namespace is gone" : "";
}

void Sandboxes::restore_live(const std::vector<Link>& links) {
  std::vector<std::pair<cni::AttachmentId, std::string>> dead;
  for (auto& [id, record] : records_) {
    const auto why = death_of(record, links);
    if (why.empty()) learn_cookie(record.endpoint);
    if (!why.empty()) {
      dead.emplace_back(id, why);
    } else if (auto published = sink_.publish(record.endpoint); !published) {
      note_(fmt::format("attachment {}: {}", id.owner(), published.error().text()));
    }
  }
  for (const auto& [id, why] : dead) free_quietly(id, why);
}

void Sandboxes::sweep_links(const std::vector<Link>& links) {
  for (const auto& link : links) {
    if (!is_pod_link(link)) continue;
    const bool recorded = std::ranges::any_of(records_, [&link](const auto& one) {
      return one.second.endpoint.host_ifname == link.name;
    });
    const bool leaving = std::ranges::any_of(
        busy_, [&link](const auto& one) { return host_link_name(one.first) == link.name; });
    const bool kept = std::ranges::find(kept_links_, link.name) != kept_links_.end();
    if (recorded || leaving || kept) continue;
    note_(fmt::format("link {} has no record and is removed", link.name));
    remover_->remove(link.name, [this, name = link.name](const Result<void>& removed) {
      if (!removed) note_(fmt::format("removing {}: {}", name, removed.error().text()));
    });
  }
}

// A pod with CAP_NET_ADMIN can take away what limits its egress.
void Sandboxes::sweep_rates() {
  for (const auto& [id, record] : records_) {
    const Endpoint& endpoint = record.endpoint;
    if (busy_.contains(id) || (endpoint.ingress.rate == 0 && endpoint.egress.rate == 0)) continue;
    const auto netns = Netns::open(endpoint.netns);
    if (!netns) continue;
    const auto mended = mend_rates(netlink_, *netns, endpoint, record.mtu);
    if (!mended) note_(fmt::format("limits of {}: {}", id.owner(), mended.error().text()));
    if (mended && *mended)
      note_(fmt::format("limits of {} were gone, and are set again", id.owner()));
  }
}

// The node's end is set last, so it tells of both.
void Sandboxes::resize_links(const std::vector<Link>& links) {
  for (const auto& [id, record] : records_) {
    const Endpoint& endpoint = record.endpoint;
    const auto link = std::ranges::find(links, endpoint.host_ifindex, &Link::index);
    if (busy_.contains(id) || link == links.end()) continue;
    if (link->gso_max_size == config_.link.gso_max_size) continue;
    const auto netns = Netns::open(endpoint.netns);
    if (!netns) continue;
    const auto resized = resize_pod_link(netlink_, *netns, endpoint, config_.link.gso_max_size);
    if (!resized) note_(fmt::format("link of {}: {}", id.owner(), resized.error().text()));
  }
}

void Sandboxes::set_link_options(PodLinkOptions options) {
  const bool resized = options.gso_max_size != config_.link.gso_max_size;
  config_.link = std::move(options);
  if (!resized) return;
  const auto links = list_links(netlink_);
  if (!links) return note_(links.error().text());
  resize_links(*links);
}

void Sandboxes::sweep() {
  const auto links = list_links(netlink_);
  if (!links) return note_(links.error().text());
  std::vector<std::pair<cni::AttachmentId, std::string>> dead;
  for (const auto& [id, record] : records_) {
    if (busy_.contains(id)) continue;
    const auto why = death_of(record, *links);
    if (!why.empty()) dead.emplace_back(id, why);
  }
  for (const auto& [id, why] : dead) free_quietly(id, why);
  resize_links(*links);
  sweep_links(*links);
  sweep_rates();
  apply_spool();
}

void Sandboxes::apply_spool() {
  const std::string folder = config_.state_dir + "/cni-spool/";
  // weir-cni writes there at any time; one that was killed comes again under another name.
  if (auto removed = remove_temporaries(folder, kSpoolPatience); !removed) {
    note_(removed.error().text());
  }
  const auto names = list_dir(folder);
  if (!names) return note_(names.error().text());
  for (const auto& name : *names) apply_spooled(folder + name);
}

void Sandboxes::apply_spooled(const std::string& path) {
  const auto text = read_file(path, 2 * cni::kMaxRequestBytes);
  const auto parsed = text ? cni::parse_request(*text) : cni::ParsedRequest{};
  if (!parsed.request || parsed.request->command != cni::Command::kDel) {
    note_(fmt::format("{} is no DEL request and is removed", path));
    if (auto removed = remove_file(path); !removed) note_(removed.error().text());
    return;
  }
  del(*parsed.request, [this, path](const std::string& answer) {
    if (answer.starts_with(R"({"error")")) return note_(fmt::format("{}: {}", path, answer));
    if (auto removed = remove_file(path); !removed) note_(removed.error().text());
  });
}

}  // namespace weir
