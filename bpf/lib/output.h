/* How a judged packet leaves: rewrite what routing rewrites, then redirect. */
#pragma once

#include "lib/conntrack.h"
#include "lib/nat.h"

#define CSUM_IPV4 (ETH_HLEN + offsetof(struct iphdr, check))

/* Marks the packet as judged: our egress hooks let it pass after one compare. */
static __always_inline void mark_judged(struct __sk_buff* skb) {
  skb->mark = (skb->mark & ~cfg.mark_mask) | cfg.mark_judged;
}

static __always_inline bool is_judged(const struct __sk_buff* skb) {
  return (skb->mark & cfg.mark_mask) == cfg.mark_judged;
}

/* The link addresses alone: what this host itself sends loses no hop. */
static __always_inline bool rewrite_l2(struct __sk_buff* skb, const __u8* dst_mac,
                                       const __u8* src_mac) {
  return bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_dest), dst_mac, ETH_ALEN, 0) == 0 &&
         bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_source), src_mac, ETH_ALEN, 0) == 0;
}

/* One hop of routing, and the link addresses, of the frame [data, end). */
static __always_inline bool frame_l2_ttl(void* data, void* end, bool ipv4, const __u8* dst_mac,
                                         const __u8* src_mac) {
  if (data + ETH_HLEN + sizeof(struct iphdr) > end) return false;
  struct ethhdr* eth = data;
  if (dst_mac) {
    __builtin_memcpy(eth->h_dest, dst_mac, ETH_ALEN);
    __builtin_memcpy(eth->h_source, src_mac, ETH_ALEN);
  }
  if (ipv4) {
    struct iphdr* ip = (void*)(eth + 1);
    /* RFC 1624: the TTL is the high byte of its 16-bit word. */
    __u32 check = ip->check + bpf_htons(0x0100);
    ip->check = (__u16)(check + (check >= 0xffff));
    ip->ttl--;
    return true;
  }
  struct ipv6hdr* ip6 = (void*)(eth + 1);
  if ((void*)(ip6 + 1) > end) return false;
  ip6->hop_limit--;
  return true;
}

static __always_inline bool rewrite_l2_ttl(struct __sk_buff* skb, const struct packet* pkt,
                                           const __u8* dst_mac, const __u8* src_mac) {
  if (!frame_l2_ttl((void*)(long)skb->data, (void*)(long)skb->data_end, pkt->ipv4, dst_mac,
                    src_mac))
    return false;
  /* IPv6 has no checksum that takes the hop back. Only a packet with a full checksum needs it
   * mended; the helper refuses all others. */
  if (!pkt->ipv4) bpf_csum_update(skb, bpf_htons(0xfffe));
  return true;
}

static __always_inline int output_local(struct __sk_buff* skb, const struct packet* pkt,
                                        const struct weir_ct_path* path) {
  static const __u8 link_mac[] = WEIR_LINK_MAC;
  if (!rewrite_l2_ttl(skb, pkt, path->mac, link_mac)) return drop(skb, pkt, WEIR_DROP_REWRITE);
  if (!path->queued)
    return forward(skb, pkt, WEIR_OUT_LOCAL, bpf_redirect_peer(path->out_ifindex, 0));
  /* redirect_peer would pass by the link's own egress, and its queueing discipline with it. */
  mark_judged(skb);
  return forward(skb, pkt, WEIR_OUT_LOCAL, bpf_redirect(path->out_ifindex, 0));
}

static __always_inline bool tunnel_key_set(struct __sk_buff* skb, const struct weir_addr* node,
                                           bool dsr) {
  struct bpf_tunnel_key key = {.tunnel_id = cfg.tunnel_vni + (dsr ? WEIR_VNI_DSR : 0),
                               .tunnel_ttl = 64};
  if (addr_is_v4(node)) {
    key.remote_ipv4 = bpf_ntohl(node->word[3]);
    return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_ZERO_CSUM_TX) == 0;
  }
  __builtin_memcpy(key.remote_ipv6, node, sizeof(key.remote_ipv6));
  return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6) == 0;
}

/* Who has sent what came out of the tunnel, and whether as DSR. */
static __always_inline bool tunnel_source(struct __sk_buff* skb, struct packet* pkt) {
  struct bpf_tunnel_key key = {};
  if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0) == 0) {
    pkt->dsr = cfg.services && key.tunnel_id == cfg.tunnel_vni + WEIR_VNI_DSR;
    pkt->outer_src = addr_v4(bpf_htonl(key.remote_ipv4));
    return true;
  }
  if (bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6)) return false;
  pkt->dsr = cfg.services && key.tunnel_id == cfg.tunnel_vni + WEIR_VNI_DSR;
  __builtin_memcpy(&pkt->outer_src, key.remote_ipv6, sizeof(pkt->outer_src));
  return true;
}

static __always_inline int output_tunnel(struct __sk_buff* skb, const struct packet* pkt,
                                         const struct weir_ct_path* path) {
  static const __u8 link_mac[] = WEIR_LINK_MAC;
  static const __u8 tunnel_mac[] = WEIR_TUNNEL_MAC;
  if (!tunnel_key_set(skb, &path->next_hop, path->dsr)) return drop(skb, pkt, WEIR_DROP_ENCAP);
  if (!rewrite_l2_ttl(skb, pkt, tunnel_mac, link_mac)) return drop(skb, pkt, WEIR_DROP_REWRITE);
  mark_judged(skb);
  return forward(skb, pkt, WEIR_OUT_TUNNEL, bpf_redirect(path->out_ifindex, 0));
}

static __always_inline int redirect_next_hop(const struct packet* pkt,
                                             const struct weir_ct_path* path) {
  struct bpf_redir_neigh nh = {};
  const struct weir_addr* hop = addr_is_zero(&path->next_hop) ? &pkt->dst : &path->next_hop;
  if (addr_is_v4(hop)) {
    nh.nh_family = WEIR_AF_INET;
    nh.ipv4_nh = hop->word[3];
  } else {
    nh.nh_family = WEIR_AF_INET6;
    __builtin_memcpy(nh.ipv6_nh, hop, sizeof(nh.ipv6_nh));
  }
  return bpf_redirect_neigh(path->out_ifindex, &nh, sizeof(nh), 0);
}

static __always_inline int output_direct(struct __sk_buff* skb, const struct packet* pkt,
                                         const struct weir_ct_path* path) {
  if (!rewrite_l2_ttl(skb, pkt, NULL, NULL)) return drop(skb, pkt, WEIR_DROP_REWRITE);
  mark_judged(skb);
  return forward(skb, pkt, WEIR_OUT_DIRECT, redirect_next_hop(pkt, path));
}

#define LOOPBACK_IFINDEX 1

/* What this host sends to a Service, or answers as its backend: the stack has routed it by the
 * untranslated address. */
static __always_inline int output_from_host(struct __sk_buff* skb, const struct packet* pkt,
                                            const struct weir_ct_path* path) {
  static const __u8 link_mac[] = WEIR_LINK_MAC;
  static const __u8 tunnel_mac[] = WEIR_TUNNEL_MAC;
  __u8 own_mac[ETH_ALEN];
  mark_judged(skb);
  switch (path->out) {
    case WEIR_OUT_LOCAL:
      if (!rewrite_l2(skb, path->mac, link_mac)) return drop(skb, pkt, WEIR_DROP_REWRITE);
      return forward(skb, pkt, WEIR_OUT_LOCAL, bpf_redirect(path->out_ifindex, 0));
    case WEIR_OUT_TUNNEL:
      if (!tunnel_key_set(skb, &path->next_hop, false)) return drop(skb, pkt, WEIR_DROP_ENCAP);
      if (!rewrite_l2(skb, tunnel_mac, link_mac)) return drop(skb, pkt, WEIR_DROP_REWRITE);
      return forward(
          skb, pkt, WEIR_OUT_TUNNEL,
          skb->ifindex == path->out_ifindex ? TCX_NEXT : bpf_redirect(path->out_ifindex, 0));
    case WEIR_OUT_DIRECT:
      return forward(skb, pkt, WEIR_OUT_DIRECT, redirect_next_hop(pkt, path));
    case WEIR_OUT_HOST: /* to itself: back in by the same link */
      if (skb->ifindex == LOOPBACK_IFINDEX) return forward(skb, pkt, WEIR_OUT_HOST, TCX_NEXT);
      if (bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_source), own_mac, ETH_ALEN) ||
          !rewrite_l2(skb, own_mac, link_mac))
        return drop(skb, pkt, WEIR_DROP_REWRITE);
      return forward(skb, pkt, WEIR_OUT_HOST, bpf_redirect(skb->ifindex, BPF_F_INGRESS));
    default:
      return drop(skb, pkt, WEIR_DROP_NO_ROUTE);
  }
}

/* The stack answers with ICMP: time exceeded, or the MTU of the way out. To this host: no hop. */
static __always_inline bool stack_answers(const struct packet* pkt, const struct weir_ct_path* path,
                                          bool ingress) {
  return ingress && path->out != WEIR_OUT_HOST &&
         (pkt->ttl <= 1 || (path->mtu && pkt->largest > path->mtu));
}

/* The last step for a packet with a path. ingress is a constant of the program. */
static __always_inline int output(struct __sk_buff* skb, const struct packet* pkt,
                                  const struct weir_ct_path* path, bool ingress) {
  if (!ingress && pkt->hook == WEIR_HOOK_TO_NET) return output_from_host(skb, pkt, path);
  /* What the stack sends to a pod goes where it belongs already. */
  if (!ingress) return forward(skb, pkt, path->out, TCX_NEXT);
  switch (path->out) {
    case WEIR_OUT_HOST:
      return to_stack(skb, pkt);
    case WEIR_OUT_LOCAL:
      return output_local(skb, pkt, path);
    case WEIR_OUT_TUNNEL:
      return output_tunnel(skb, pkt, path);
    case WEIR_OUT_DIRECT:
      return output_direct(skb, pkt, path);
    default:
      return drop(skb, pkt, WEIR_DROP_NO_ROUTE);
  }
}
