// The tables, read as bpf/lib/service.h and bpf/lib/resolve.h read them.
#include "reader.h"

#include <optional>

namespace weir::oracle {
namespace {

class Reader {
 public:
  Reader(FakeKernel& kernel, const ServiceTables& tables, const Cluster& cluster,
         const Question& question)
      : kernel_(kernel), tables_(tables), cluster_(cluster), question_(question) {}

  Answer read() {
    const auto row = find_row();
    if (!row) return read_without_row();
    const ObjectKey owner = tables_.port_of(row->id).value_or(ServicePortKey()).object;
    if (!admits(*row)) return {.verdict = Verdict::kSourceRefused, .owner = owner};
    Answer out = read_set(question_.handed_over ? row->local_set : row->set);
    out.owner = owner;
    if (out.backends.empty()) {
      out.verdict =
          (row->flags & WEIR_SERVICE_LOCAL) != 0 ? Verdict::kNoLocal : Verdict::kNoBackend;
      return out;
    }
    out.affinity_seconds = row->affinity_s;
    out.direct_return = (row->flags & WEIR_SERVICE_DSR) != 0 && question_.from == From::kOutside;
    // The source is kept but for what passes through this node.
    out.may_masquerade =
        question_.from != From::kHere && std::ranges::any_of(out.backends, [](const auto& backend) {
          return !backend.second.this_node;
        });
    return out;
  }

 private:
  std::optional<weir_service> row_at(const Address& vip, std::uint16_t port, Protocol protocol,
                                     weir_service_scope scope) {
    weir_service_key key{};
    key.vip = to_abi(vip);
    key.port = htons(port);
    key.proto = port == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(protocol);
    key.scope = scope;
    weir_service out{};
    if (!kernel_.row(key, &out)) return std::nullopt;
    return out;
  }

  std::optional<weir_service> find_row() {
    Address vip = question_.destination;
    auto row = row_at(vip, question_.port, question_.protocol, WEIR_SCOPE_ANY);
    if (!row && cluster_.is_this_nodes(vip)) {
      vip = vip.is_v4() ? Address::v4(0) : Address();
      row = row_at(vip, question_.port, question_.protocol, WEIR_SCOPE_ANY);
    }
    if (!row || question_.from != From::kHere || (row->flags & WEIR_SERVICE_TWO_SCOPES) == 0)
      return row;
    const auto inside = row_at(vip, question_.port, question_.protocol, WEIR_SCOPE_CLUSTER);
    return inside ? inside : row;
  }

  Answer read_without_row() {
    if (row_at(question_.destination, 0, Protocol::kTcp, WEIR_SCOPE_ANY)) {
      return {.verdict = Verdict::kNoPort};
    }
    static const Cidr v4 = *Cidr::parse("10.96.0.0/16");
    static const Cidr v6 = *Cidr::parse("fd00:96::/112");
    const bool in_range = v4.contains(question_.destination) || v6.contains(question_.destination);
    return {.verdict = in_range ? Verdict::kUnknown : Verdict::kNoService};
  }

  bool admits(const weir_service& row) {
    if ((row.flags & WEIR_SERVICE_SOURCE_RANGES) == 0) return true;
    bool out = false;
    const auto consider = [&](const weir_srcrange_key& key) {
      const Address from = from_abi(key.addr);
      const int bits = static_cast<int>(key.prefixlen) - 32 - (from.is_v4() ? 96 : 0);
      const Cidr range(from, bits);
      out = out || (key.service == row.id && range.contains(question_.source));
    };
    static_cast<void>(kernel_.for_each_range(consider));
    return out;
  }

  // So many slots are a backend's weight.
  Answer read_set(std::uint32_t set) {
    Answer out{.verdict = Verdict::kServed};
    const weir_set extent = kernel_.set(set);
    for (std::uint32_t i = 0; i < extent.count; ++i) {
      const weir_backend& slot = kernel_.backends()[extent.offset + i];
      if (slot.set != set) continue;
      const bool here = (slot.flags & WEIR_BACKEND_THIS_NODE) != 0;
      out.backends.try_emplace({from_abi(slot.addr), ntohs(slot.port)}, Backend{here, 0})
          .first->second.weight += 1;
    }
    return out;
  }

  FakeKernel& kernel_;
  const ServiceTables& tables_;
  const Cluster& cluster_;
  const Question& question_;
};

}  // namespace

Answer read_tables(FakeKernel& kernel, const ServiceTables& tables, const Cluster& cluster,
                   const Question& question) {
  return Reader(kernel, tables, cluster, question).read();
}

}  // namespace weir::oracle
