/* Hook to_net: egress of NICs and of the tunnel device. What this host itself sends; packets that
 * Weir has judged leave after one compare. */
#include "lib/connect.h"
#include "lib/host.h"

/* The stack routes other nodes' pod ranges to the tunnel device; where to is for us to say. */
static __always_inline int host_to_tunnel(struct __sk_buff* skb, struct packet* pkt) {
  static const __u8 link_mac[] = WEIR_LINK_MAC;
  static const __u8 tunnel_mac[] = WEIR_TUNNEL_MAC;
  if (addr_is_multicast(&pkt->dst)) return drop(skb, pkt, WEIR_DROP_LINK_MULTICAST);
  if (!route_lookup(&pkt->dst, &pkt->to.route) ||
      (pkt->to.route.kind != WEIR_ROUTE_PODS && pkt->to.route.kind != WEIR_ROUTE_NODE) ||
      addr_is_zero(&pkt->to.route.node_addr))
    return drop(skb, pkt, WEIR_DROP_NO_ROUTE);
  if (!tunnel_key_set(skb, &pkt->to.route.node_addr, false)) return drop(skb, pkt, WEIR_DROP_ENCAP);
  if (bpf_skb_store_bytes(skb, 0, tunnel_mac, ETH_ALEN, 0) ||
      bpf_skb_store_bytes(skb, ETH_ALEN, link_mac, ETH_ALEN, 0))
    return drop(skb, pkt, WEIR_DROP_REWRITE);
  mark_judged(skb);
  return forward(skb, pkt, WEIR_OUT_TUNNEL, TCX_NEXT);
}

static __always_inline bool port_is_translated(const struct packet* pkt) {
  const __u16 port = bpf_ntohs(pkt->src_port);
  return port >= cfg.nat_port_min && port <= cfg.nat_port_max;
}

/* A host socket in the range of translated ports claims its tuple, so that no pod's connection
 * takes it; if one has, the answers would be the pod's. */
static __always_inline enum weir_drop host_port_claim(struct packet* pkt) {
  pkt->from_hi =
      ct_key_fill(&pkt->key, &pkt->src, pkt->src_port, &pkt->dst, pkt->dst_port, pkt->proto);
  struct weir_ct* ct = ct_lookup(&pkt->key);
  if (ct && ct_revive(ct)) {
    WRITE_ONCE(ct->seen, jiffies());
    return READ_ONCE(ct->flags) & WEIR_CT_NAT_REPLY ? WEIR_DROP_PORT_CLASH : WEIR_DROP_NONE;
  }
  struct weir_ct_path out = {.in_ifindex = WEIR_CT_IN_HOST, .out = WEIR_OUT_DIRECT, .set = 1};
  struct weir_ct_path in = {.in_ifindex = WEIR_CT_IN_NET, .out = WEIR_OUT_HOST, .set = 1};
  ct_init(pkt, &pkt->key, pkt->from_hi, &pkt->fresh);
  pkt->fresh.flags |= WEIR_CT_HOST;
  pkt->fresh.path[0] = pkt->from_hi ? in : out;
  pkt->fresh.path[1] = pkt->from_hi ? out : in;
  return ct_insert_drop(bpf_map_update_elem(&weir_ct, &pkt->key, &pkt->fresh, BPF_NOEXIST));
}

/* A pod's packet that the stack routed, say in fragments: it would leave with the pod's address. */
static __always_inline bool is_of_pod(struct packet* pkt) {
  return route_lookup(&pkt->src, &pkt->from.route) && pkt->from.route.kind == WEIR_ROUTE_LOCAL_PODS;
}

static __always_inline int host_to_nic(struct __sk_buff* skb, struct packet* pkt) {
  if (!cfg.masquerade) return forward(skb, pkt, WEIR_OUT_DIRECT, TCX_NEXT);
  if (is_of_pod(pkt)) {
    if (!route_lookup(&pkt->dst, &pkt->to.route) ||
        is_masqueraded(pkt->to.route.kind, pkt->to.route.flags))
      return drop(skb, pkt, WEIR_DROP_NOT_TRANSLATABLE);
  } else if ((pkt->flags & PACKET_L4) && port_is_translated(pkt)) {
    const bool nowhere = cfg.services && is_to_services(pkt);
    const enum weir_drop bad = nowhere ? WEIR_DROP_SERVICE_UNKNOWN : host_port_claim(pkt);
    if (bad) return drop(skb, pkt, bad);
  }
  return forward(skb, pkt, WEIR_OUT_DIRECT, TCX_NEXT);
}

/* The loopback link carries what this host says to itself; of that, only what names one of the
 * node's own addresses can be for a Service. */
static __always_inline bool stays_inside(const struct __sk_buff* skb) {
  return skb->ifindex == LOOPBACK_IFINDEX && (!cfg.services || is_loopback_packet(skb));
}

SEC("tcx/egress")
int to_net(struct __sk_buff* skb) {
  if (is_judged(skb) || stays_inside(skb)) return TCX_NEXT;
  const struct weir_state* state = state_get();
  struct packet* pkt = packet_get();
  if (!state || !pkt) return TCX_DROP; /* cannot happen: array maps have their elements */
  if (is_met_again(skb, state, false)) return TCX_NEXT;
  pkt->epoch = READ_ONCE(state->epoch);
  pkt->in = WEIR_CT_IN_HOST;
  const enum weir_drop bad = parse(skb, pkt, WEIR_HOOK_TO_NET);
  const bool tunnel = cfg.tunnel && skb->ifindex == state->tunnel_ifindex;
  if (bad && !tunnel) return to_stack(skb, pkt); /* the host's own ARP and oddities */
  if (bad) return drop(skb, pkt, bad);
  if (cfg.services && host_meets_service(skb, pkt)) return established(skb, pkt, false);
  if (skb->ifindex == LOOPBACK_IFINDEX) return to_stack(skb, pkt);
  return tunnel ? host_to_tunnel(skb, pkt) : host_to_nic(skb, pkt);
}
