/* Hook xdp: ingress of NICs, before the kernel makes an skb. What is known and only passes through
 * this node, between clients of Services outside and backends on other nodes, goes on from here, by
 * the entries that TC has made. All else is left to from_net, uncounted. */
#include "lib/established.h"
#include "lib/next_hop.h"
#include "lib/wire.h"

/* Reads the packet, without the tunnel's headers. Bytes of those; negative: not for XDP. */
static __always_inline int xdp_parse(struct xdp_md* ctx, const struct weir_state* state,
                                     struct packet* pkt) {
  pkt->hook = WEIR_HOOK_XDP;
  pkt->segments = 1;
  pkt->dsr = 0;
  pkt->tunnelled = 0;
  pkt->in = WEIR_CT_IN_NET;
  if (!wire_headers(ctx, pkt, 0)) return -1;
  if (!cfg.tunnel || pkt->proto != IPPROTO_UDP || pkt->dst_port != bpf_htons(cfg.tunnel_port))
    return 0;
  const struct weir_device* tunnel = device_lookup(state->tunnel_ifindex);
  if (!tunnel || !wire_is_tunnelled(ctx, pkt, tunnel)) return -1;
  const int outer = pkt->ipv4 ? WIRE_OUTER_IPV4 : WIRE_OUTER_IPV6;
  if (!wire_headers(ctx, pkt, outer)) return -1;
  pkt->tunnelled = 1;
  pkt->in = state->tunnel_ifindex;
  /* Of what other nodes send, only answers to translated connections may pass through. */
  return bpf_ntohs(pkt->dst_port) >= cfg.nat_port_min ? outer : -1;
}

static __always_inline bool xdp_passes_through(const struct packet* pkt, __u32 flags,
                                               const struct weir_ct_path* path) {
  if (path->out != WEIR_OUT_DIRECT && path->out != WEIR_OUT_TUNNEL) return false;
  return (flags & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY)) || path->dsr;
}

/* Its known entry, when the packet changes nothing there but counts; fills path, pkt->nat. */
static __always_inline struct weir_ct* xdp_entry(struct packet* pkt, struct weir_ct_path* path) {
  pkt->from_hi =
      ct_key_fill(&pkt->key, &pkt->src, pkt->src_port, &pkt->dst, pkt->dst_port, pkt->proto);
  const __u64 id = weir_ct_id(&pkt->key);
  struct weir_ct* ct = ct_lookup(&pkt->key);
  if (!ct || READ_ONCE(ct->state) != WEIR_CT_LIVE ||
      ct_read_path(ct, id, pkt->epoch, pkt->from_hi, path) != CT_GOOD)
    return NULL;
  const __u32 flags = READ_ONCE(ct->flags);
  if (!xdp_passes_through(pkt, flags, path) || source_check(pkt, ct, path) ||
      fib_expired(ct, path) || stack_answers(pkt, path, true))
    return NULL;
  /* Who hands over to another node never sees the answers. */
  const __u32 seen = path->dsr ? flags | WEIR_CT_REPLIED : flags;
  if ((pkt->tcp_flags & TCP_SYN) || ct_may_turn(pkt, seen)) return NULL;
  pkt->nat.src = pkt->src;
  pkt->nat.dst = pkt->dst;
  pkt->nat.src_port = pkt->src_port;
  pkt->nat.dst_port = pkt->dst_port;
  if (flags & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY)) ct_nat(ct, flags, &pkt->nat);
  barrier();
  return READ_ONCE(ct->id) == id ? ct : NULL;
}

/* Link addresses of the way out; NULL: by TC. */
static __always_inline const struct next_hop* xdp_next_hop(struct xdp_md* ctx,
                                                           const struct packet* pkt,
                                                           const struct weir_ct_path* path,
                                                           const struct weir_addr* own) {
  const struct next_hop* hop;
  if (path->out == WEIR_OUT_TUNNEL)
    hop = next_hop_find(ctx, &path->next_hop, own, &path->next_hop, true);
  else if (addr_is_zero(&path->next_hop))
    hop = next_hop_find(ctx, &pkt->nat.dst, &pkt->nat.src, &pkt->nat.dst, false);
  else
    hop = next_hop_find(ctx, &path->next_hop, &pkt->nat.src, &pkt->nat.dst, false);
  const struct ethhdr* eth = (void*)(long)ctx->data;
  if (!hop || (void*)(eth + 1) > (void*)(long)ctx->data_end) return NULL;
  /* A frame for another host, which a switch has flooded. */
  return __builtin_memcmp(eth->h_dest, hop->src_mac, ETH_ALEN) == 0 ? hop : NULL;
}

static __always_inline bool xdp_wrap(struct xdp_md* ctx, const struct packet* pkt,
                                     const struct weir_ct_path* path, const struct weir_ct* ct,
                                     const struct weir_addr* own, const struct next_hop* hop) {
  const __u32 spread = (__u32)(READ_ONCE(ct->id) >> 32);
  const struct wire_tunnel tunnel = {
      .vni = bpf_htonl((cfg.tunnel_vni + (path->dsr ? WEIR_VNI_DSR : 0)) << 8),
      .src_port = bpf_htons(0xc000 | (spread & 0x3fff)),
      .id = (__be16)(READ_ONCE(ct->packets[0]) + READ_ONCE(ct->packets[1])),
      .ecn = pkt->ecn == 3 ? 2 : pkt->ecn};
  if (addr_is_v4(&path->next_hop))
    return wire_wrap_ipv4(ctx, &tunnel, own->word[3], path->next_hop.word[3], hop->dst_mac,
                          hop->src_mac);
  return wire_wrap_ipv6(ctx, pkt, &tunnel, own, &path->next_hop, hop->dst_mac, hop->src_mac);
}

static __always_inline int xdp_send(struct xdp_md* ctx, const struct packet* pkt,
                                    const struct weir_ct_path* path, const struct weir_ct* ct,
                                    const struct weir_addr* own, const struct next_hop* hop) {
  static const __u8 link_mac[] = WEIR_LINK_MAC;
  static const __u8 tunnel_mac[] = WEIR_TUNNEL_MAC;
  const bool tunnel = path->out == WEIR_OUT_TUNNEL;
  if (!wire_rewrite(ctx, pkt, tunnel ? tunnel_mac : hop->dst_mac, tunnel ? link_mac : hop->src_mac))
    return drop_frame(ctx, pkt, WEIR_DROP_REWRITE);
  if (tunnel && !xdp_wrap(ctx, pkt, path, ct, own, hop))
    return drop_frame(ctx, pkt, WEIR_DROP_ENCAP);
  metric_add(pkt, WEIR_OUTCOME_FORWARD);
  return XDP_TX;
}

SEC("xdp.frags")
int xdp(struct xdp_md* ctx) {
  const struct weir_state* state = state_get();
  struct packet* pkt = packet_get();
  /* A capture is to see all packets, and is made of skbs. */
  if (!state || !pkt || READ_ONCE(state->capture_on)) return XDP_PASS;
  pkt->epoch = READ_ONCE(state->epoch);
  const int outer = xdp_parse(ctx, state, pkt);
  if (outer < 0) return XDP_PASS;
  struct weir_ct_path path;
  struct weir_ct* ct = xdp_entry(pkt, &path);
  if (!ct) return XDP_PASS;
  const bool tunnel = path.out == WEIR_OUT_TUNNEL;
  struct weir_addr own = {};
  if (tunnel) {
    const struct weir_device* device = device_lookup(path.out_ifindex);
    if (!device) return XDP_PASS;
    own = addr_is_v4(&path.next_hop) ? device->v4 : device->v6;
    /* The outer checksum of IPv6 needs the inner one. */
    if (!addr_is_v4(&path.next_hop) && !pkt->summed) return XDP_PASS;
  }
  const struct next_hop* hop = xdp_next_hop(ctx, pkt, &path, &own);
  if (!hop || (outer && bpf_xdp_adjust_head(ctx, outer))) return XDP_PASS;
  metric_add(pkt, WEIR_OUTCOME_IN);
  ct_count(pkt, ct);
  return xdp_send(ctx, pkt, &path, ct, &own, hop);
}
