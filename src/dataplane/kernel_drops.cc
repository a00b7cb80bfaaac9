// The kernel's BTF -> reasons; a program -> its tracepoint.
#include "dataplane/kernel_drops.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace weir {
namespace {

constexpr const char* kEnum = "skb_drop_reason";
constexpr const char* kTracepoint = "btf_trace_kfree_skb";
constexpr int kArgumentsWithSocket = 5;  // one for whom it is called, skb, where, reason, socket

// No packet is lost, it was delivered, or Weir has counted it.
constexpr std::string_view kLeftOut[] = {
    "NOT_DROPPED_YET", "CONSUMED",
    // to whom it was sent, and what becomes of it there is told to its sender or none's loss
    "NO_SOCKET", "SOCKET_CLOSE", "SOCKET_FILTER", "UNIX_DISCONNECT", "UNIX_SKIP_OOB",
    // what waited in a socket or queue that is taken down
    "QUEUE_PURGE",
    // copies
    "OTHERHOST", "DUP_FRAG", "PACKET_SOCK_ERROR",
    // Weir's own program
    "XDP"};

// TCP's own business is what a connection has received twice, or after its end. This is not:
constexpr std::string_view kTcpLosses[] = {"TCP_CSUM", "TCP_LISTEN_OVERFLOW", "TCP_MINTTL",
                                           "TCP_AUTH_HDR"};
constexpr std::string_view kTcpKeys[] = {"TCP_MD5", "TCP_AO"};

bool is_tcps_own(std::string_view name) {
  return name.starts_with("TCP_") && std::ranges::find(kTcpLosses, name) == std::end(kTcpLosses) &&
         std::ranges::none_of(kTcpKeys, [&](auto key) { return name.starts_with(key); });
}

std::string_view without_prefix(std::string_view name) {
  for (const std::string_view prefix : {"SKB_DROP_REASON_", "SKB_"}) {
    if (name.starts_with(prefix)) return name.substr(prefix.size());
  }
  return name;
}

struct FreeBtf {
  void operator()(btf* types) const { btf__free(types); }
};

bool tells_socket(const btf* types) {
  const auto id = btf__find_by_name_kind(types, kTracepoint, BTF_KIND_TYPEDEF);
  if (id < 0) return false;
  const btf_type* pointer = btf__type_by_id(types, btf__type_by_id(types, id)->type);
  if (pointer == nullptr || !btf_is_ptr(pointer)) return false;
  const btf_type* function = btf__type_by_id(types, pointer->type);
  return function != nullptr && btf_is_func_proto(function) &&
         btf_vlen(function) >= kArgumentsWithSocket;
}

}  // namespace

weir_kernel_reason kind_of_kernel_reason(std::string_view name) {
  if (name == "TC_INGRESS" || name == "TC_EGRESS") return WEIR_KERNEL_BY_TC;
  if (name == "NOT_SPECIFIED") return WEIR_KERNEL_UNSAID;
  const bool left_out =
      std::ranges::find(kLeftOut, name) != std::end(kLeftOut) || is_tcps_own(name);
  return left_out ? WEIR_KERNEL_LEFT_OUT : WEIR_KERNEL_COUNTED;
}

Result<KernelReasons> KernelReasons::read() {
  const std::unique_ptr<btf, FreeBtf> types(btf__load_vmlinux_btf());
  if (!types) return errno_error(errno, "the kernel's BTF");
  const auto id = btf__find_by_name_kind(types.get(), kEnum, BTF_KIND_ENUM);
  if (id < 0) return Error(Code::kKernel, fmt::format("the kernel's BTF has no enum {}", kEnum));
  KernelReasons reasons;
  reasons.names_.resize(WEIR_KERNEL_REASONS);
  const btf_type* type = btf__type_by_id(types.get(), id);
  for (int i = 0; i < btf_vlen(type); ++i) {
    const struct btf_enum& one = btf_enum(type)[i];
    const auto number = static_cast<std::uint32_t>(one.val);
    if (number >= WEIR_KERNEL_REASONS) continue;
    const auto name = without_prefix(btf__name_by_offset(types.get(), one.name_off));
    reasons.names_[number] = name;
    reasons.abi_.kind[number] = static_cast<std::uint8_t>(kind_of_kernel_reason(name));
  }
  reasons.abi_.tells_socket = tells_socket(types.get()) ? 1 : 0;
  return reasons;
}

std::string KernelReasons::name(std::uint32_t reason) const {
  if (reason < names_.size() && !names_[reason].empty()) return names_[reason];
  return fmt::to_string(reason);
}

Result<void> TracepointAttacher::attach(int program) {
  const std::string path = pin_path();
  if (const Fd* link = links_.find(path)) {
    bpf_link_info info{};
    __u32 size = sizeof info;
    WEIR_ASSIGN(const std::uint32_t id, program_id(program));
    const bool ours = bpf_link_get_info_by_fd(link->get(), &info, &size) == 0 && info.prog_id == id;
    if (ours) return links_.pin_again(path);
    links_.forget(path);  // the kernel replaces no program of a tracepoint
  }
  Fd link(bpf_link_create(program, 0, BPF_TRACE_RAW_TP, nullptr));
  if (!link) return errno_error(errno, "attach to kfree_skb");
  return links_.add(path, std::move(link));
}

void TracepointAttacher::detach() { links_.forget(pin_path()); }

}  // namespace weir
