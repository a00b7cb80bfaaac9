#include "sys/clsact.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <utility>

#include "sys/answers.h"
#include "sys/attributes.h"

namespace weir {
namespace {

constexpr const char* kClsact = "clsact";

std::uint32_t parent_of(bool egress) {
  return TC_H_MAKE(TC_H_CLSACT, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS);
}

const char* direction_of(bool egress) { return egress ? "egress" : "ingress"; }

tcmsg* qdisc_message(Batch& batch, std::uint16_t type, std::uint16_t flags, std::uint32_t index,
                     std::string noun) {
  auto* message = batch.add<tcmsg>(type, flags, std::move(noun));
  message->tcm_ifindex = static_cast<int>(index);
  message->tcm_parent = TC_H_CLSACT;
  return message;
}

void filter_message(Batch& batch, std::uint16_t type, std::uint16_t flags, std::uint32_t index,
                    bool egress, std::string noun) {
  auto* message = batch.add<tcmsg>(type, flags, std::move(noun));
  message->tcm_ifindex = static_cast<int>(index);
  message->tcm_parent = parent_of(egress);
  message->tcm_handle = kFilterHandle;
  message->tcm_info = TC_H_MAKE(std::uint32_t{kFilterPriority} << 16, htons(ETH_P_ALL));
  batch.put_string(TCA_KIND, "bpf");
}

}  // namespace

// Each filter is preceded by a head without a handle.
std::optional<Filter> answer::filter_of(const nlmsghdr* message) {
  const auto* header = header_of<tcmsg>(message);
  if (header == nullptr || header->tcm_handle == 0) return {};
  const auto found = attributes<TCA_MAX + 1, tcmsg>(message);
  Filter filter;
  filter.kind = text_of(found[TCA_KIND]);
  filter.handle = header->tcm_handle;
  filter.priority = static_cast<std::uint16_t>(TC_H_MAJ(header->tcm_info) >> 16);
  if (filter.kind != "bpf" || !found[TCA_OPTIONS]) return filter;
  const auto options = nested<TCA_BPF_MAX + 1>(found[TCA_OPTIONS]);
  filter.name = text_of(options[TCA_BPF_NAME]);
  filter.program = number_of<std::uint32_t>(options[TCA_BPF_ID]);
  return filter;
}

std::optional<Qdisc> answer::qdisc_of(const nlmsghdr* message) {
  const auto* header = header_of<tcmsg>(message);
  if (header == nullptr) return {};
  const auto found = attributes<TCA_MAX + 1, tcmsg>(message);
  return Qdisc{static_cast<std::uint32_t>(header->tcm_ifindex), header->tcm_parent,
               text_of(found[TCA_KIND])};
}

Result<std::vector<Filter>> list_filters(Netlink& netlink, std::uint32_t index, bool egress) {
  Batch batch;
  auto* header = batch.add<tcmsg>(RTM_GETTFILTER, NLM_F_DUMP, "list filters");
  header->tcm_ifindex = static_cast<int>(index);
  header->tcm_parent = parent_of(egress);
  std::vector<Filter> out;
  WEIR_TRY(netlink.dump(
      batch,
      [&out, egress](const nlmsghdr* message) {
        auto one = answer::filter_of(message);
        if (!one) return;
        one->egress = egress;
        out.push_back(std::move(*one));
      },
      [&out] { out.clear(); }));
  return out;
}

Result<std::vector<Filter>> list_filters(Netlink& netlink, std::uint32_t index) {
  WEIR_ASSIGN(auto out, list_filters(netlink, index, false));
  WEIR_ASSIGN(const auto more, list_filters(netlink, index, true));
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

Result<std::string> find_ingress_qdisc(Netlink& netlink, std::uint32_t index) {
  Batch batch;
  // The kernel answers who asks to hear of what it tells everybody.
  qdisc_message(batch, RTM_GETQDISC, NLM_F_ECHO, index, fmt::format("link {}: clsact", index));
  std::string kind;
  const auto asked = netlink.dump(batch,
                                  [&kind](const nlmsghdr* message) {
                                    if (auto one = answer::qdisc_of(message))
                                      kind = std::move(one->kind);
                                  },
                                  {});
  // EINVAL: where one has been before.
  if (!asked && asked.error().saved_errno() != ENOENT && asked.error().saved_errno() != EINVAL)
    return asked.error();
  return kind;
}

Result<std::vector<std::uint32_t>> list_clsact(Netlink& netlink) {
  Batch batch;
  batch.add<tcmsg>(RTM_GETQDISC, NLM_F_DUMP, "list queueing disciplines");
  std::vector<std::uint32_t> out;
  WEIR_TRY(netlink.dump(
      batch,
      [&out](const nlmsghdr* message) {
        const auto one = answer::qdisc_of(message);
        if (one && one->kind == kClsact) out.push_back(one->index);
      },
      [&out] { out.clear(); }));
  return out;
}

void request::add_clsact(Batch& batch, std::uint32_t index) {
  auto* message = qdisc_message(batch, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index,
                                fmt::format("link {}: add clsact", index));
  message->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  batch.put_string(TCA_KIND, kClsact);
}

void request::delete_clsact(Batch& batch, std::uint32_t index) {
  auto* message =
      qdisc_message(batch, RTM_DELQDISC, 0, index, fmt::format("link {}: delete clsact", index));
  message->tcm_handle = TC_H_MAKE(TC_H_CLSACT, 0);
  batch.put_string(TCA_KIND, kClsact);
}

void request::put_filter(Batch& batch, std::uint32_t index, bool egress, int program,
                         const std::string& name) {
  filter_message(batch, RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_REPLACE, index, egress,
                 fmt::format("link {}: set the {} filter of clsact", index, direction_of(egress)));
  const auto options = batch.begin(TCA_OPTIONS);
  batch.put_u32(TCA_BPF_FD, static_cast<std::uint32_t>(program));
  batch.put_string(TCA_BPF_NAME, name);
  batch.put_u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT);
  batch.end(options);
}

void request::delete_filter(Batch& batch, std::uint32_t index, bool egress) {
  filter_message(
      batch, RTM_DELTFILTER, 0, index, egress,
      fmt::format("link {}: delete the {} filter of clsact", index, direction_of(egress)));
  batch.tolerate(ENOENT);
}

}  // namespace weir
