// Whatever the objects and their order, compile gives the same, and its entries make sense.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>
#include <variant>

#include "compile/compile.h"

namespace weir {
namespace {

using Row = std::variant<Object, Endpoint>;

// From few addresses, so that nodes and sandboxes clash often.
rc::Gen<Address> any_address() {
  return rc::gen::map(rc::gen::pair(rc::gen::arbitrary<bool>(), rc::gen::inRange(0U, 12U)),
                      [](const std::pair<bool, unsigned>& choice) {
                        const char* base = choice.first ? "10.0.0.0" : "fd00::";
                        return Address::parse(base)->plus(choice.second);
                      });
}

rc::Gen<Cidr> any_cidr() {
  return rc::gen::map(rc::gen::pair(any_address(), rc::gen::inRange(0, 33)),
                      [](const std::pair<Address, int>& choice) {
                        const int least = choice.first.is_v4() ? 0 : 96;
                        return Cidr(choice.first, least + choice.second);
                      });
}

rc::Gen<Node> any_node(unsigned number) {
  return rc::gen::map(rc::gen::pair(rc::gen::container<std::vector<Address>>(any_address()),
                                    rc::gen::container<std::vector<Cidr>>(any_cidr())),
                      [number](const std::pair<std::vector<Address>, std::vector<Cidr>>& parts) {
                        return Node{std::string("n").append(std::to_string(number)), parts.first,
                                    parts.second};
                      });
}

rc::Gen<Endpoint> any_endpoint(unsigned handle) {
  return rc::gen::map(rc::gen::container<std::vector<Address>>(any_address()),
                      [handle](const std::vector<Address>& addresses) {
                        Endpoint out;
                        out.handle = handle;
                        out.host_ifindex = 100 + handle;
                        out.addresses = addresses;
                        return out;
                      });
}

std::vector<Row> any_rows() {
  std::vector<Row> rows;
  const unsigned nodes = *rc::gen::inRange(0U, 5U);
  const unsigned endpoints = *rc::gen::inRange(0U, 5U);
  for (unsigned i = 0; i < nodes; ++i) rows.emplace_back(Object(*any_node(i)));
  for (unsigned i = 1; i <= endpoints; ++i) rows.emplace_back(*any_endpoint(i));
  return rows;
}

Compiled compile_rows(const std::vector<Row>& rows, const NodeConfig& config) {
  Store store;
  for (const Row& row : rows) std::visit([&store](const auto& value) { store.upsert(value); }, row);
  return compile(store.snapshot(), config);
}

RC_GTEST_PROP(CompileProperty, TheOrderOfArrivalDoesNotMatter, ()) {
  const auto rows = any_rows();
  const NodeConfig config{.name = "n0",
                          .tunnel = *rc::gen::arbitrary<bool>(),
                          .addresses = *rc::gen::container<std::vector<Address>>(any_address())};
  auto shuffled = rows;
  std::ranges::shuffle(shuffled, std::mt19937(*rc::gen::arbitrary<unsigned>()));
  RC_ASSERT(compile_rows(rows, config) == compile_rows(shuffled, config));
}

RC_GTEST_PROP(CompileProperty, EveryWayLeadsToAnotherNode, ()) {
  const bool tunnel = *rc::gen::arbitrary<bool>();
  const NodeConfig config{.name = "n0", .tunnel = tunnel, .addresses = {}};
  const auto entries = compile_rows(any_rows(), config).entries;
  for (const auto& [cidr, route] : entries.kernel_routes) {
    const auto entry = entries.routes.find(cidr);
    RC_ASSERT(entry != entries.routes.end());
    RC_ASSERT(entry->second.kind == WEIR_ROUTE_PODS);
    RC_ASSERT(from_abi(entry->second.node_addr) == route.node);
    RC_ASSERT(tunnel || route.node.family() == cidr.family());
  }
  for (const auto& [cidr, route] : entries.routes) {
    const bool local = route.kind == WEIR_ROUTE_HOST || route.kind == WEIR_ROUTE_LOCAL_PODS;
    RC_ASSERT(!local || from_abi(route.node_addr).is_zero());
  }
  for (const auto& [address, endpoint] : entries.endpoints) {
    RC_ASSERT(from_abi(endpoint.id) == address);
    RC_ASSERT(endpoint.version == 0U);
  }
}

}  // namespace
}  // namespace weir
