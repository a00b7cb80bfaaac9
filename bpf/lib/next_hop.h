/* Link addresses of next hops, for XDP: the kernel's neighbour table costs too much for each
 * packet, and does not hear of what XDP sends. So an answer of it serves for a second; then one
 * packet goes by TC, and the kernel sees that the neighbour is in use and checks it. */
#pragma once

#include "lib/addr.h"
#include "lib/packet.h"

#define NEXT_HOPS 256 /* a power of two */

struct next_hop {
  struct weir_addr addr;
  __u32 seen;    /* jiffies */
  __u32 ifindex; /* of the link that it is on; 0: the kernel gave no link address */
  __u8 dst_mac[ETH_ALEN];
  __u8 src_mac[ETH_ALEN]; /* of this host on that link */
  __u32 pad;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, NEXT_HOPS);
  __type(key, __u32);
  __type(value, struct next_hop);
} weir_next_hop SEC(".maps");

static __always_inline __u32 next_hop_slot(const struct weir_addr* addr) {
  const __u32 mixed = (addr->word[0] ^ addr->word[1] ^ addr->word[2] ^ addr->word[3]) * 0x9e3779b1U;
  return mixed >> 24 & (NEXT_HOPS - 1);
}

/* By the kernel's tables, for a packet from src to dst; a gateway must be `addr`. */
static __always_inline void next_hop_ask(struct xdp_md* ctx, const struct weir_addr* addr,
                                         const struct weir_addr* src, const struct weir_addr* dst,
                                         bool any_gateway, struct next_hop* hop) {
  struct bpf_fib_lookup fib = {.ifindex = ctx->ingress_ifindex};
  struct weir_addr gateway;
  hop->addr = *addr;
  hop->seen = jiffies();
  hop->ifindex = 0;
  if (addr_is_v4(dst)) {
    fib.family = WEIR_AF_INET;
    fib.ipv4_src = src->word[3];
    fib.ipv4_dst = dst->word[3];
  } else {
    fib.family = WEIR_AF_INET6;
    __builtin_memcpy(fib.ipv6_src, src, sizeof(fib.ipv6_src));
    __builtin_memcpy(fib.ipv6_dst, dst, sizeof(fib.ipv6_dst));
  }
  if (bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_SUCCESS) return;
  if (fib.family == WEIR_AF_INET)
    gateway = addr_v4(fib.ipv4_dst);
  else
    __builtin_memcpy(&gateway, fib.ipv6_dst, sizeof(gateway));
  if (!any_gateway && !addr_equal(&gateway, addr)) return;
  __builtin_memcpy(hop->dst_mac, fib.dmac, ETH_ALEN);
  __builtin_memcpy(hop->src_mac, fib.smac, ETH_ALEN);
  hop->ifindex = fib.ifindex;
}

/* Of `addr`, for a packet from src to dst that leaves where it came in. NULL: ask TC this time. */
static __always_inline const struct next_hop* next_hop_find(struct xdp_md* ctx,
                                                            const struct weir_addr* addr,
                                                            const struct weir_addr* src,
                                                            const struct weir_addr* dst,
                                                            bool any_gateway) {
  const __u32 slot = next_hop_slot(addr);
  struct next_hop* hop = bpf_map_lookup_elem(&weir_next_hop, &slot);
  if (!hop) return NULL;
  if (addr_equal(&hop->addr, addr) && jiffies() - hop->seen < (__u32)cfg.hz)
    return hop->ifindex == ctx->ingress_ifindex ? hop : NULL;
  next_hop_ask(ctx, addr, src, dst, any_gateway, hop);
  return NULL;
}
