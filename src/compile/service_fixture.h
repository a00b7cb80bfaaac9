#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "compile/services.h"

// Services and slices for tests, in few words. This node is n0, in zone a.
namespace weir::fixture {

inline Address addr(const char* text) { return *Address::parse(text); }
inline Cidr cidr(const char* text) { return *Cidr::parse(text); }

inline ServicePort port(const char* name, std::uint16_t number, std::uint16_t node_port = 0,
                        Protocol protocol = Protocol::kTcp) {
  ServicePort out;
  out.name = name;
  out.port = number;
  out.node_port = node_port;
  out.protocol = protocol;
  return out;
}

// shop/cart, ClusterIP 10.96.0.7, port http 80.
inline Service service() {
  Service out;
  out.namespace_ = "shop";
  out.name = "cart";
  out.cluster_ips = {addr("10.96.0.7")};
  out.ports = {port("http", 80)};
  return out;
}

// With NodePort 30080, LoadBalancer address 192.0.2.7 and external address 198.51.100.7.
inline Service balancer() {
  Service out = service();
  out.type = ServiceType::kLoadBalancer;
  out.ports = {port("http", 80, 30080)};
  out.ingress = {{addr("192.0.2.7"), false}};
  out.external_ips = {addr("198.51.100.7")};
  return out;
}

inline SliceEndpoint endpoint(const char* address, const char* node = "n1") {
  SliceEndpoint out;
  out.addresses = {addr(address)};
  out.node = node;
  return out;
}

inline SliceEndpoint unready(SliceEndpoint out) {
  out.ready = false;
  out.serving = false;
  return out;
}

// Still serves, while it terminates.
inline SliceEndpoint draining(SliceEndpoint out) {
  out.ready = false;
  out.terminating = true;
  return out;
}

inline SliceEndpoint for_zone(SliceEndpoint out, const char* zone) {
  out.hinted_zones = {zone};
  return out;
}

inline SliceEndpoint for_node(SliceEndpoint out, const char* node) {
  out.hinted_nodes = {node};
  return out;
}

inline SliceEndpoint of_pod(SliceEndpoint out, const char* pod) {
  out.pod = pod;
  return out;
}

// Of shop/cart, port http 8080.
inline EndpointSlice slice(const char* name, std::vector<SliceEndpoint> endpoints,
                           Family family = Family::kIpv4) {
  EndpointSlice out;
  out.namespace_ = "shop";
  out.name = name;
  out.service = "cart";
  out.family = family;
  out.endpoints = std::move(endpoints);
  out.ports = {{"http", Protocol::kTcp, 8080}};
  return out;
}

inline ServiceContext context() {
  ServiceContext out;
  out.node = "n0";
  out.zone = "a";
  return out;
}

}  // namespace weir::fixture
