/* A packet to a Service: which backend it gets, or why none. */
#pragma once

#include "lib/paths.h"
#include "lib/service.h"

/* Same on every node: chosen by what the client sends. */
static __always_inline __u32 ring_hash(const struct packet* pkt) {
  __u64 hash = pkt->src.word[0] ^ (__u64)pkt->src.word[3] << 32;
  hash = (hash ^ pkt->src.word[1] ^ (__u64)pkt->src.word[2] << 32) * 0xff51afd7ed558ccdULL;
  hash ^= hash >> 33;
  hash ^= pkt->dst.word[3] ^ (__u64)pkt->dst.word[1] << 32;
  hash ^= (__u64)pkt->src_port << 48 | (__u64)pkt->dst_port << 16 | pkt->proto;
  hash *= 0xc4ceb9fe1a85ec53ULL;
  return (__u32)(hash >> 32);
}

/* This node's pods and processes. Clients of other nodes have met their own node first: what comes
 * from there means this one, as from outside. */
static __always_inline bool from_here(const struct packet* pkt) {
  return pkt->hook != WEIR_HOOK_FROM_NET;
}

/* The row of the packet's destination, into pkt->service. this_node: it is an address of this node.
 */
SHARED int packet_service(struct packet* pkt, int this_node) {
  return pkt && service_find(&pkt->dst, pkt->dst_port, pkt->proto, this_node, from_here(pkt),
                             &pkt->service);
}

static __always_inline enum weir_drop resolve_backend(struct packet* pkt) {
  struct weir_service* service = &pkt->service;
  if (pkt->dsr) service->set = service->local_set;
  struct weir_addr client = pkt->src;
  if (!service_admits(service, &client)) return WEIR_DROP_SERVICE_SOURCE;
  /* Of this node's addresses the kernel may have chosen any. */
  if (!pkt->from.local && pkt->from.kind == WEIR_ROUTE_HOST) client = (struct weir_addr){};
  const struct service_client of = {
      .addr = &client, .hash = ring_hash(pkt), .here = from_here(pkt)};
  if (!service_select(service, &of, &pkt->backend))
    return service->flags & WEIR_SERVICE_LOCAL ? WEIR_DROP_SERVICE_NO_LOCAL
                                               : WEIR_DROP_SERVICE_NO_BACKEND;
  pkt->nat.dst = pkt->backend.addr;
  pkt->nat.dst_port = pkt->backend.port;
  return WEIR_DROP_NONE;
}

/* NodePorts are at this node's addresses; what another node hands over bears that node's. */
static __always_inline bool addresses_node(const struct packet* pkt) {
  return pkt->to.kind == WEIR_ROUTE_HOST || (pkt->dsr && pkt->to.kind == WEIR_ROUTE_NODE);
}

/* DSR, for clients outside the cluster: the backend's node translates, and answers the client
 * itself. */
static __always_inline bool is_handed_over(const struct packet* pkt) {
  return cfg.tunnel && (pkt->service.flags & WEIR_SERVICE_DSR) && !from_here(pkt) &&
         !pkt->tunnelled && end_is_node_side(&pkt->to) && !end_is_node_side(&pkt->from) &&
         !addr_is_zero(&pkt->to.route.node_addr);
}

/* A new connection: pkt->nat.dst becomes a backend, if this is a Service's address. pkt->to says
 * what lies behind nat.dst. An enum weir_drop. */
SHARED int resolve(struct packet* pkt) {
  if (!pkt) return WEIR_DROP_RACE;
  if (!has_ports(pkt) || !packet_service(pkt, false)) {
    const enum weir_drop bad = end_find(&pkt->dst, &pkt->to);
    if (bad || pkt->to.local) return bad;
    if (pkt->to.kind == WEIR_ROUTE_SERVICES)
      return service_has_other_ports(&pkt->dst) ? WEIR_DROP_SERVICE_NO_PORT
                                                : WEIR_DROP_SERVICE_UNKNOWN;
    if (!has_ports(pkt) || !addresses_node(pkt) || !packet_service(pkt, true)) {
      pkt->service.id = 0;
      /* The other node knows more than this one, so far: an entry would outlive that. */
      return pkt->dsr ? WEIR_DROP_SERVICE_UNKNOWN : bad;
    }
  }
  enum weir_drop bad = resolve_backend(pkt);
  if (!bad) bad = end_find(&pkt->nat.dst, &pkt->to);
  if (!bad && is_handed_over(pkt)) {
    pkt->hand_over = 1;
    pkt->nat.dst = pkt->dst;
    pkt->nat.dst_port = pkt->dst_port;
  }
  return bad;
}

/* The opener's datagrams belong elsewhere: the Service has let their backend go, or their address
 * has become a Service's. Not asked for TCP, which stays, as with kube-proxy. */
SHARED int target_moved(struct packet* pkt, struct weir_ct* ct) {
  if (!pkt || !ct) return 0;
  const __u32 flags = READ_ONCE(ct->flags);
  const bool service = (flags & WEIR_CT_NAT) && (flags & WEIR_CT_SERVICE);
  if (!service && ((flags & WEIR_CT_NAT_REPLY) || !ct_from_opener(ct, pkt->from_hi))) return 0;
  const __u8 out = pkt->from_hi ? ct->path[1].out : ct->path[0].out;
  const bool found = service_find(&pkt->dst, pkt->dst_port, pkt->proto,
                                  service || out == WEIR_OUT_HOST, from_here(pkt), &pkt->service);
  if (!service || !found) return service || found;
  ct_nat(ct, flags, &pkt->nat);
  const __u32 set = pkt->dsr ? pkt->service.local_set : pkt->service.set;
  return !service_has_backend(set, &pkt->nat.dst, pkt->nat.dst_port);
}
