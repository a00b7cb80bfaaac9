#include "k8s/kinds.h"

namespace weir::k8s {
namespace {

// Empty: of no Service that is served here. As kube-proxy, slices of headless Services and of other
// proxies are not looked at.
std::string service_of(const Value& labels) {
  for (const char* label : {kHeadlessLabel, kProxyLabel}) {
    if (labels[label].present()) return {};
  }
  return labels[kServiceLabel].text();
}

void read_address(const Value& item, Family family, SliceEndpoint& out) {
  const auto address = item.address();
  if (address && address->family() != family) item.wrong("must be of the slice's addressType");
  if (address) out.addresses.push_back(*address);
}

std::vector<std::string> names_in(const Value& list) {
  std::vector<std::string> out;
  list.for_each([&out](const Value& item) { out.push_back(item["name"].text()); });
  return out;
}

std::string pod_of(const Value& target, const std::string& namespace_) {
  const std::string space = target["namespace"].text();
  const bool is_near = space.empty() || space == namespace_;
  return is_near && target["kind"].text() == "Pod" ? target["name"].text() : std::string();
}

void read_endpoint(const Value& item, EndpointSlice& slice) {
  SliceEndpoint out;
  item["addresses"].for_each(
      [&out, &slice](const Value& address) { read_address(address, slice.family, out); });
  const Value conditions = item["conditions"];
  out.ready = conditions["ready"].flag(true);
  out.serving = conditions["serving"].flag(true);
  out.terminating = conditions["terminating"].flag(false);
  out.node = item["nodeName"].text();
  out.zone = item["zone"].text();
  out.hinted_zones = names_in(item["hints"]["forZones"]);
  out.hinted_nodes = names_in(item["hints"]["forNodes"]);
  out.pod = pod_of(item["targetRef"], slice.namespace_);
  if (out.addresses.empty()) return item["addresses"].note("is empty: the endpoint is not used");
  slice.endpoints.push_back(std::move(out));
}

SlicePort read_slice_port(const Value& item) {
  SlicePort out;
  out.name = item["name"].text();
  out.protocol = read_protocol(item["protocol"]);
  out.port = static_cast<std::uint16_t>(item["port"].number(0, 65535));
  return out;
}

}  // namespace

EndpointSlice read_endpoint_slice(const Value& object) {
  EndpointSlice out;
  const Value metadata = object["metadata"];
  out.namespace_ = metadata["namespace"].text();
  out.name = metadata["name"].text();
  const Value type = object["addressType"];
  const std::string word = type.text();
  if (word == "FQDN") return out;
  if (word != "IPv4" && word != "IPv6") type.wrong("must be IPv4, IPv6 or FQDN");
  if (word == "IPv6") out.family = Family::kIpv6;
  out.service = service_of(metadata["labels"]);
  object["endpoints"].for_each([&out](const Value& item) { read_endpoint(item, out); });
  object["ports"].for_each(
      [&out](const Value& item) { out.ports.push_back(read_slice_port(item)); });
  return out;
}

}  // namespace weir::k8s
