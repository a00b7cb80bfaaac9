/* What lies behind a packet's two ends, whether the source is believed, and by which ways both
 * directions of its connection come in and go out. */
#pragma once

#include "lib/established.h"
#include "lib/fib.h"

/* --- what lies behind an address -------------------------------------------------------------- */

/* An enum weir_drop. */
SHARED int end_find(const struct weir_addr* addr, struct end* end) {
  if (!addr || !end) return WEIR_DROP_RACE;
  const enum endpoint_found found = endpoint_lookup(addr, &end->ep);
  if (found == ENDPOINT_RACE) return WEIR_DROP_RACE;
  end->local = found == ENDPOINT_FOUND;
  end->kind = WEIR_ROUTE_OUTSIDE;
  end->route.flags = 0;
  if (!end->local && route_lookup(addr, &end->route)) end->kind = end->route.kind;
  return WEIR_DROP_NONE;
}

static __always_inline bool end_is_node_side(const struct end* end) {
  return !end->local && (end->kind == WEIR_ROUTE_PODS || end->kind == WEIR_ROUTE_NODE);
}

/* --- sources ---------------------------------------------------------------------------------- */

/* A client outside, by way of a node of ours. */
static __always_inline enum weir_drop source_check_dsr(const struct packet* pkt) {
  struct weir_route node;
  return pkt->from.kind == WEIR_ROUTE_OUTSIDE && route_lookup(&pkt->outer_src, &node) &&
                 node.kind == WEIR_ROUTE_NODE
             ? WEIR_DROP_NONE
             : WEIR_DROP_TUNNEL_SOURCE;
}

/* A source is believed only where it can come from: pods' behind their node's tunnel end. */
static __always_inline enum weir_drop source_check_net(const struct packet* pkt) {
  const struct end* from = &pkt->from;
  if (from->local || from->kind == WEIR_ROUTE_LOCAL_PODS) return WEIR_DROP_SPOOFED;
  if (pkt->dsr) return source_check_dsr(pkt);
  if (pkt->tunnelled)
    return end_is_node_side(from) && addr_equal(&from->route.node_addr, &pkt->outer_src)
               ? WEIR_DROP_NONE
               : WEIR_DROP_TUNNEL_SOURCE;
  /* Nobody else has this host's addresses. */
  return from->kind == WEIR_ROUTE_HOST || (cfg.tunnel && from->kind == WEIR_ROUTE_PODS)
             ? WEIR_DROP_SPOOFED
             : WEIR_DROP_NONE;
}

static __always_inline enum weir_drop source_check_hook(const struct __sk_buff* skb,
                                                        const struct packet* pkt) {
  switch (pkt->hook) {
    case WEIR_HOOK_FROM_POD:
      /* What stays on the link goes nowhere, whoever sent it. */
      if (addr_is_multicast(&pkt->dst)) return WEIR_DROP_LINK_MULTICAST;
      /* A pod may only speak with its own address, by its own link. */
      return pkt->from.local && pkt->from.ep.ifindex == skb->ifindex ? WEIR_DROP_NONE
                                                                     : WEIR_DROP_SPOOFED;
    case WEIR_HOOK_FROM_NET:
      return source_check_net(pkt);
    default: /* the host and its own pods always reach each other */
      return addr_is_multicast(&pkt->dst) ? WEIR_DROP_LINK_MULTICAST : WEIR_DROP_NONE;
  }
}

/* --- one direction's way out ------------------------------------------------------------------ */

static __always_inline void path_to_endpoint(struct weir_ct_path* path,
                                             const struct weir_endpoint* ep) {
  path->out = WEIR_OUT_LOCAL;
  path->out_ifindex = ep->ifindex;
  path->version = ep->version;
  path->mtu = 0;
  path->queued = ep->queued;
  __builtin_memcpy(path->mac, ep->mac, WEIR_MAC_LEN);
}

/* The way to the node takes no more. */
static __always_inline void path_narrow(struct weir_ct_path* path, __u16 mtu) {
  if (mtu && (!path->mtu || mtu < path->mtu)) path->mtu = mtu;
}

static __always_inline void path_to_tunnel(struct weir_ct_path* path,
                                           const struct weir_route* route) {
  const struct weir_state* state = state_get();
  if (!state) return;
  path->out = WEIR_OUT_TUNNEL;
  path->out_ifindex = state->tunnel_ifindex;
  path->next_hop = route->node_addr;
  path->version = route->version;
  const struct weir_device* device = device_lookup(state->tunnel_ifindex);
  path->mtu = device ? device->mtu : 0;
  path_narrow(path, route->mtu);
}

/* With a node's address as source: the other node's stack answers by its own routes, not by the
 * tunnel. */
static __always_inline bool is_between_nodes(const struct packet* pkt, const struct end* end) {
  return pkt->hook != WEIR_HOOK_FROM_POD && end->kind == WEIR_ROUTE_NODE && !pkt->hand_over;
}

/* From src, whose packets come in by the link ifindex, to dst, which end tells of. */
static __always_inline enum weir_drop path_to(struct __sk_buff* skb, const struct packet* pkt,
                                              __u32 ifindex, const struct weir_addr* src,
                                              const struct weir_addr* dst, const struct end* end,
                                              struct weir_ct_path* path) {
  if (end->local) {
    path_to_endpoint(path, &end->ep);
    return WEIR_DROP_NONE;
  }
  switch (end->kind) {
    case WEIR_ROUTE_LOCAL_PODS:
      return WEIR_DROP_POD_UNKNOWN;
    case WEIR_ROUTE_HOST:
      path->out = WEIR_OUT_HOST;
      path->version = end->route.version;
      return WEIR_DROP_NONE;
    case WEIR_ROUTE_PODS:
    case WEIR_ROUTE_NODE:
      if (cfg.tunnel && !is_between_nodes(pkt, end)) {
        /* A node without a tunnel end: the agent tells that as a conflict. */
        if (addr_is_zero(&end->route.node_addr)) return WEIR_DROP_NO_ROUTE;
        path_to_tunnel(path, &end->route);
        return WEIR_DROP_NONE;
      }
      path->version = end->route.version;
      break;
    default:
      return fib_path(skb, ifindex, pkt->ipv4, src, dst, path);
  }
  const enum weir_drop bad = fib_path(skb, ifindex, pkt->ipv4, src, dst, path);
  path_narrow(path, end->route.mtu);
  return bad;
}

/* Where answers to packets of this path come in. */
static __always_inline __u32 path_answers_in(const struct weir_ct_path* path) {
  switch (path->out) {
    case WEIR_OUT_LOCAL:
    case WEIR_OUT_TUNNEL:
      return path->out_ifindex;
    case WEIR_OUT_HOST:
      return WEIR_CT_IN_HOST;
    default:
      return WEIR_CT_IN_NET;
  }
}

/* --- both directions -------------------------------------------------------------------------- */

static __always_inline bool is_translated(const struct packet* pkt) {
  return !addr_equal(&pkt->nat.dst, &pkt->dst) || pkt->nat.dst_port != pkt->dst_port;
}

/* Who reaches a node's tunnel port could put packets on any pod's wire. */
static __always_inline bool tunnel_port_is_meant(const struct packet* pkt) {
  return cfg.tunnel && pkt->proto == IPPROTO_UDP && !pkt->to.local &&
         (pkt->to.kind == WEIR_ROUTE_HOST || pkt->to.kind == WEIR_ROUTE_NODE) &&
         pkt->nat.dst_port == bpf_htons(cfg.tunnel_port);
}

static __always_inline enum weir_drop path_there(struct __sk_buff* skb, struct packet* pkt,
                                                 struct weir_ct_path* path) {
  const struct end* to = &pkt->to;
  switch (pkt->hook) {
    case WEIR_HOOK_FROM_POD:
      if (tunnel_port_is_meant(pkt)) return WEIR_DROP_TUNNEL_FORBIDDEN;
      break;
    case WEIR_HOOK_FROM_NET:
      if (to->local || is_translated(pkt) || path->dsr) break;
      /* The stack's own business: this host's addresses, and on NICs what it may route. */
      path->out = WEIR_OUT_HOST;
      return to->kind == WEIR_ROUTE_HOST || (!pkt->tunnelled && to->kind != WEIR_ROUTE_LOCAL_PODS)
                 ? WEIR_DROP_NONE
                 : WEIR_DROP_POD_UNKNOWN;
    case WEIR_HOOK_TO_POD:
      if (!to->local || to->ep.ifindex != skb->ifindex) return WEIR_DROP_POD_UNKNOWN;
      break;
    default:
      break;
  }
  return path_to(skb, pkt, skb->ifindex, &pkt->src, &pkt->nat.dst, to, path);
}

/* The answers' way to the sender of this packet. */
static __always_inline enum weir_drop path_back(struct __sk_buff* skb, struct packet* pkt,
                                                struct weir_ct_path* path) {
  const struct end* from = &pkt->from;
  if (pkt->hook == WEIR_HOOK_FROM_POD) {
    path_to_endpoint(path, &from->ep);
    return WEIR_DROP_NONE;
  }
  if (pkt->hook != WEIR_HOOK_FROM_NET) {
    path->out = WEIR_OUT_HOST;
    path->version = !from->local && from->kind == WEIR_ROUTE_HOST ? from->route.version : 0;
    return WEIR_DROP_NONE;
  }
  if (pkt->tunnelled && !pkt->dsr) {
    path_to_tunnel(path, &from->route);
    return WEIR_DROP_NONE;
  }
  if (end_is_node_side(from)) path->version = from->route.version;
  __u32 ifindex = skb->ifindex;
  barrier_var(ifindex); /* else clang picks the pointer first, which ctx does not allow */
  if (pkt->to.local) ifindex = pkt->to.ep.ifindex;
  return fib_path(skb, ifindex, pkt->ipv4, &pkt->nat.dst, &pkt->src, path);
}

/* By where it goes: connections to it leave with the node's address. */
static __always_inline bool is_masqueraded(__u8 kind, __u8 flags) {
  return cfg.masquerade && kind == WEIR_ROUTE_OUTSIDE && !(flags & WEIR_ROUTE_KEEP_SOURCE);
}

static __always_inline enum translate translation(const struct packet* pkt) {
  const bool leaves =
      pkt->paths.there.out == WEIR_OUT_DIRECT || pkt->paths.there.out == WEIR_OUT_TUNNEL;
  if (pkt->hook == WEIR_HOOK_FROM_POD && !pkt->to.local &&
      is_masqueraded(pkt->to.kind, pkt->to.route.flags))
    return TRANSLATE_SOURCE;
  if (!cfg.services || !pkt->service.id || (pkt->paths.there.dsr && leaves)) return TRANSLATE_NOT;
  /* The answers must come back here to be translated. */
  return pkt->hook == WEIR_HOOK_FROM_NET && leaves ? TRANSLATE_SOURCE : TRANSLATE_TARGET;
}
