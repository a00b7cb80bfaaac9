// ADD, CHECK and STATUS. Freeing: sandbox_free.cc; start and sweep: sandbox_restore.cc.
#include "sandbox/sandbox.h"

#include <fmt/format.h>

#include <algorithm>

#include "sandbox/cni_result.h"
#include "sandbox/pool_state.h"
#include "sys/files.h"

namespace weir {
namespace {

// Links of pods are numbered from here, apart from those that the kernel numbers: a handle's link
// has the same number for ever, and no other gets it.
constexpr std::uint32_t kFirstLinkIndex = 1U << 24;
constexpr std::uint32_t kHandleBlock = 1024;  // handles that one write of pools.json covers

int failure_code(Code code) {
  switch (code) {
    case Code::kUnavailable:
      return cni::kTryAgainLater;
    case Code::kInvalid:
    case Code::kExists:
      return cni::kInvalidEnvironment;
    case Code::kNotFound:
    case Code::kDenied:
    case Code::kKernel:
      return cni::kInternalError;
  }
  return cni::kInternalError;
}

cni::Failure failure_of(const Error& error) {
  return {failure_code(error.code()), error.text(), {}};
}

void fail(const cni::Request& request, const cni::Failure& failure,
          const Sandboxes::Answer& answer) {
  answer(cni::failure_answer(request.version, failure));
}

cni::Failure netns_failure(const Error& error) {
  const bool gone = error.code() == Code::kNotFound;
  return {
      gone ? cni::kUnknownContainer : cni::kInvalidEnvironment, "CNI_NETNS: " + error.text(), {}};
}

bool has_asked(const cni::Request& request, const Endpoint& endpoint) {
  return std::ranges::all_of(request.requested, [&endpoint](const Address& address) {
    return std::ranges::find(endpoint.addresses, address) != endpoint.addresses.end();
  });
}

}  // namespace

Result<std::unique_ptr<Sandboxes>> Sandboxes::open(SandboxConfig config, EndpointSink& sink,
                                                   LinkRemover::Post post, Note note) {
  WEIR_TRY(make_dirs(config.state_dir + "/sandboxes"));
  WEIR_TRY(make_dirs(config.state_dir + "/cni-spool"));
  WEIR_ASSIGN(auto netlink, Netlink::open());
  WEIR_ASSIGN(auto home, Netns::current());
  std::unique_ptr<Sandboxes> made(
      new Sandboxes(std::move(config), sink, std::move(note), std::move(netlink), std::move(home)));
  WEIR_TRY(made->make_pools());
  WEIR_ASSIGN(made->remover_, LinkRemover::open(std::move(post)));
  return made;
}

Sandboxes::Sandboxes(SandboxConfig config, EndpointSink& sink, Note note, Netlink netlink,
                     Netns home)
    : config_(std::move(config)),
      sink_(sink),
      note_(std::move(note)),
      netlink_(std::move(netlink)),
      home_(std::move(home)) {}

Result<void> Sandboxes::make_pools() {
  for (const auto& cidr : config_.pod_cidrs) {
    if (std::ranges::any_of(pools_, [&](const auto& p) { return p->family() == cidr.family(); })) {
      return Error(Code::kInvalid,
                   fmt::format("pod range {} is the second of its family", cidr.to_string()));
    }
    pools_.push_back(
        std::make_unique<CidrPool>(cidr, CidrPool::Options{config_.rest_ns, boot_time_ns, note_}));
    // A link's own setting comes from here; it has to be right before the link gets its routes.
    if (cidr.family() == Family::kIpv6) {
      WEIR_TRY(write_sysctl("net/ipv6/conf/default/disable_ipv6", "0"));
    }
  }
  return {};
}

void Sandboxes::handle(std::string_view document, const Answer& answer) {
  const auto parsed = cni::parse_request(document);
  if (!parsed.request) return answer(cni::failure_answer(parsed.answer_version, parsed.failure));
  dispatch(*parsed.request, answer);
}

void Sandboxes::dispatch(const cni::Request& request, const Answer& answer) {
  switch (request.command) {
    case cni::Command::kAdd:
      return add(request, answer);
    case cni::Command::kDel:
      return del(request, answer);
    case cni::Command::kCheck:
      return check(request, answer);
    case cni::Command::kGc:
      return collect_garbage(request, answer);
    case cni::Command::kStatus:
      return status(request, answer);
  }
}

void Sandboxes::add(const cni::Request& request, const Answer& answer) {
  apply_spool();  // a DEL that was kept while the last agent died is older than this
  if (busy_.contains(request.id)) {
    return fail(request, {cni::kTryAgainLater, "this attachment is being removed", {}}, answer);
  }
  const auto netns = Netns::open(request.netns);
  if (!netns) return fail(request, netns_failure(netns.error()), answer);
  if (netns->same_as(home_)) {
    return fail(request, {cni::kInvalidEnvironment, "CNI_NETNS is the node's own namespace", {}},
                answer);
  }
  const auto existing = records_.find(request.id);
  if (existing != records_.end()) return add_again(request, *netns, existing->second, answer);
  add_new(request, *netns, answer);
}

// Asked a second time, an intact attachment is the same answer. One that died without DEL goes
// first.
void Sandboxes::add_again(const cni::Request& request, const Netns& netns, const Record& record,
                          const Answer& answer) {
  const Endpoint& endpoint = record.endpoint;
  const auto intact = check_pod_link(netlink_, netns, endpoint, record.mtu);
  if (intact && !record.deleting && endpoint.netns == request.netns &&
      has_asked(request, endpoint)) {
    const auto result = cni::add_result(request.version, endpoint, record.mtu, request.previous);
    return result ? answer(cni::success_answer(*result)) : fail(request, result.error(), answer);
  }
  const bool link_gone = !find_link(netlink_, endpoint.host_ifname);
  if (!link_gone && !record.deleting) {
    const auto what = !intact                           ? intact.error().text()
                      : endpoint.netns != request.netns ? "it is in " + endpoint.netns
                                                        : "it has other addresses";
    return fail(request,
                {cni::kInvalidEnvironment,
                 fmt::format("attachment {} exists already: {}", request.id.owner(), what),
                 {}},
                answer);
  }
  free(request.id, [this, request, answer](const cni::Failure* failure) {
    return failure != nullptr ? fail(request, *failure, answer) : add(request, answer);
  });
}

void Sandboxes::add_new(const cni::Request& request, const Netns& netns, const Answer& answer) {
  const auto endpoint = plan(request, netns);
  if (!endpoint) {
    release(request.id.owner());
    return fail(request, failure_of(endpoint.error()), answer);
  }
  const Record record{request.network, *endpoint, config_.link.mtu, false};
  const auto result = attach(request, netns, record);
  if (!result) return undo(request, *endpoint, result.error(), answer);
  records_.emplace(request.id, record);
  answer(cni::success_answer(*result));
}

Result<Endpoint> Sandboxes::plan(const cni::Request& request, const Netns& netns) {
  Endpoint endpoint;
  WEIR_ASSIGN(endpoint.handle, next_handle());
  endpoint.container_id = request.id.container_id;
  endpoint.ifname = request.id.ifname;
  endpoint.netns = request.netns;
  WEIR_ASSIGN(endpoint.netns_cookie, netns.cookie());
  endpoint.pod_namespace = request.pod_namespace;
  endpoint.pod_name = request.pod_name;
  endpoint.pod_uid = request.pod_uid;
  endpoint.ports = request.ports;
  endpoint.ingress = request.ingress;
  endpoint.egress = request.egress;
  endpoint.host_ifname = host_link_name(request.id);
  endpoint.host_ifindex = kFirstLinkIndex + endpoint.handle;
  WEIR_TRY(check_ports(request));
  WEIR_TRY(allocate(request, endpoint));
  endpoint.mac = mac_of(endpoint.addresses.front());
  return endpoint;
}

// Pods of Kubernetes are placed by their ports; one may be here while an older one still goes.
Result<void> Sandboxes::check_ports(const cni::Request& request) const {
  if (!request.pod_name.empty()) return {};
  for (const auto& [id, record] : records_) {
    if (record.deleting || !record.endpoint.pod_name.empty()) continue;
    for (const HostPort& taken : record.endpoint.ports) {
      const bool wanted = std::ranges::any_of(
          request.ports, [&taken](const HostPort& port) { return overlap(port, taken); });
      if (!wanted) continue;
      return Error(Code::kExists, fmt::format("host port {}/{} belongs to {}", taken.host_port,
                                              protocol_name(taken.protocol), record.id().owner()));
    }
  }
  return {};
}

Result<void> Sandboxes::allocate(const cni::Request& request, Endpoint& endpoint) {
  for (const auto& one : request.requested) {
    if (std::ranges::none_of(pools_,
                             [&one](const auto& p) { return p->family() == one.family(); })) {
      return Error(Code::kInvalid, fmt::format("{} is asked for, but this node has no {} pod range",
                                               one.to_string(), one.is_v4() ? "IPv4" : "IPv6"));
    }
  }
  for (const auto& pool : pools_) {
    std::optional<Address> wanted;
    for (const auto& one : request.requested) {
      if (one.family() == pool->family()) wanted = one;
    }
    WEIR_ASSIGN(const auto address, pool->allocate(request.id.owner(), wanted));
    endpoint.addresses.push_back(address);
  }
  if (endpoint.addresses.empty()) return Error(Code::kUnavailable, "this node has no pod range");
  return {};
}

// Handles are never used again, also after a restart: pools.json is always ahead of them.
Result<std::uint32_t> Sandboxes::next_handle() {
  if (next_handle_ >= saved_handle_) {
    saved_handle_ = next_handle_ + kHandleBlock;
    save_pools();
  }
  return next_handle_++;
}

std::expected<std::string, cni::Failure> Sandboxes::attach(const cni::Request& request,
                                                           const Netns& netns,
                                                           const Record& record) {
  const auto result =
      cni::add_result(request.version, record.endpoint, record.mtu, request.previous);
  if (!result) return result;
  const auto created = create_pod_link(netlink_, netns, record.endpoint, config_.link);
  if (!created) return std::unexpected(failure_of(created.error()));
  const auto published = sink_.publish(record.endpoint);
  if (!published) return std::unexpected(failure_of(published.error()));
  const auto written = write_file_atomic(record_path(request.id), encode_record(record));
  if (!written) return std::unexpected(cni::Failure{cni::kIoFailure, written.error().text(), {}});
  return result;
}

// The answer comes when nothing is left.
void Sandboxes::undo(const cni::Request& request, const Endpoint& endpoint,
                     const cni::Failure& failure, const Answer& answer) {
  if (auto retracted = sink_.retract(endpoint.handle); !retracted) {
    note_(fmt::format("undo ADD of {}: {}", request.id.owner(), retracted.error().text()));
  }
  free_unrecorded(request.id, [request, failure, answer](const cni::Failure* undo_failure) {
    cni::Failure told = failure;
    if (undo_failure != nullptr) told.details = "and undoing it: " + undo_failure->message;
    fail(request, told, answer);
  });
}

void Sandboxes::check(const cni::Request& request, const Answer& answer) {
  const auto found = records_.find(request.id);
  if (found == records_.end() || found->second.deleting) {
    return fail(request, {cni::kUnknownContainer, "no such attachment", {}}, answer);
  }
  const auto netns = Netns::open(request.netns);
  if (!netns) return fail(request, netns_failure(netns.error()), answer);
  const Endpoint& endpoint = found->second.endpoint;
  if (const auto fault = cni::previous_fault(endpoint, request.previous)) {
    return fail(request, *fault, answer);
  }
  const auto intact = check_pod_link(netlink_, *netns, endpoint, found->second.mtu);
  if (!intact) return fail(request, {cni::kInternalError, intact.error().text(), {}}, answer);
  answer(cni::success_answer("{}"));
}

void Sandboxes::status(const cni::Request& request, const Answer& answer) {
  if (pools_.empty()) {
    return fail(request, {cni::kUnavailable, "this node has no pod range", {}}, answer);
  }
  for (const auto& pool : pools_) {
    const auto use = pool->use();
    if (use.used < use.size) continue;
    return fail(
        request,
        {cni::kUnavailable,
         fmt::format("address pool {} is exhausted: {} of {} used", use.range, use.used, use.size),
         {}},
        answer);
  }
  answer(cni::success_answer("{}"));
}

std::vector<Endpoint> Sandboxes::endpoints() const {
  std::vector<Endpoint> found;
  for (const auto& [id, record] : records_) {
    if (!record.deleting) found.push_back(record.endpoint);
  }
  return found;
}

std::vector<PoolUse> Sandboxes::pools() const {
  std::vector<PoolUse> uses;
  uses.reserve(pools_.size());
  for (const auto& pool : pools_) uses.push_back(pool->use());
  return uses;
}

std::string Sandboxes::record_path(const cni::AttachmentId& id) const {
  return config_.state_dir + "/sandboxes/" + record_file_name(id);
}

}  // namespace weir
