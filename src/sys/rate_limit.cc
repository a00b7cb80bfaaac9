#include "sys/rate_limit.h"

#include <fmt/format.h>
#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include "sys/answers.h"
#include "sys/attributes.h"

namespace weir {
namespace {

constexpr std::string_view kKind = "tbf";
constexpr std::uint32_t kHandle = 0x10000;  // "1:"
constexpr std::uint64_t kTickNs = 64;       // PSCHED_SHIFT
constexpr std::uint64_t kSecondNs = 1'000'000'000;

template <typename Value>
std::string_view bytes_of(const Value& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

RateLimit limit_of(const tc_tbf_qopt& told, std::uint64_t rate) {
  const auto burst_ns = told.buffer * kTickNs;
  const auto burst = static_cast<long double>(burst_ns) * static_cast<long double>(rate) /
                     static_cast<long double>(kSecondNs);
  constexpr auto kMost = std::numeric_limits<std::uint32_t>::max();
  return {rate,
          burst >= static_cast<long double>(kMost) ? kMost : static_cast<std::uint32_t>(burst),
          told.limit};
}

}  // namespace

std::optional<RateLimit> answer::rate_limit_of(const nlmsghdr* message, std::uint32_t index) {
  const auto* header = header_of<tcmsg>(message);
  if (header == nullptr) return {};
  if (header->tcm_ifindex != static_cast<int>(index) || header->tcm_parent != TC_H_ROOT) return {};
  const auto found = attributes<TCA_MAX + 1, tcmsg>(message);
  if (!found[TCA_OPTIONS] || text_of(found[TCA_KIND]) != kKind) return {};
  const auto options = nested<TCA_TBF_MAX + 1>(found[TCA_OPTIONS]);
  const nlattr* parameters = options[TCA_TBF_PARMS];
  tc_tbf_qopt told{};
  if (parameters == nullptr || mnl_attr_get_payload_len(parameters) < sizeof told) return {};
  std::memcpy(&told, mnl_attr_get_payload(parameters), sizeof told);
  const nlattr* wide = options[TCA_TBF_RATE64];
  return limit_of(told, wide == nullptr ? told.rate.rate : number_of<std::uint64_t>(wide));
}

void request::limit_rate(Batch& batch, std::uint32_t index, const RateLimit& limit) {
  constexpr std::uint64_t kNarrow = std::numeric_limits<std::uint32_t>::max();
  auto* message = batch.add<tcmsg>(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE,
                                   fmt::format("limit the rate of link {}", index));
  message->tcm_family = AF_UNSPEC;
  message->tcm_ifindex = static_cast<int>(index);
  message->tcm_handle = kHandle;
  message->tcm_parent = TC_H_ROOT;
  batch.put_string(TCA_KIND, std::string(kKind));
  tc_tbf_qopt parameters{};
  parameters.rate.rate =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(limit.bytes_per_second, kNarrow));
  parameters.rate.linklayer = TC_LINKLAYER_ETHERNET;
  parameters.limit = limit.queue_bytes;
  const auto options = batch.begin(TCA_OPTIONS);
  batch.put(TCA_TBF_PARMS, bytes_of(parameters));
  batch.put_u32(TCA_TBF_BURST, limit.burst_bytes);
  if (limit.bytes_per_second >= kNarrow) {
    batch.put(TCA_TBF_RATE64, bytes_of(limit.bytes_per_second));
  }
  batch.end(options);
}

Result<std::optional<RateLimit>> find_rate_limit(Netlink& netlink, std::uint32_t index) {
  Batch batch;
  batch.add<tcmsg>(RTM_GETQDISC, NLM_F_DUMP, "list queueing disciplines");
  std::optional<RateLimit> found;
  WEIR_TRY(netlink.dump(
      batch,
      [&found, index](const nlmsghdr* message) {
        if (auto one = answer::rate_limit_of(message, index)) found = one;
      },
      [&found] { found.reset(); }));
  return found;
}

}  // namespace weir
