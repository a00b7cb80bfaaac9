#pragma once

#include "lib/output.h"

/* Asks the kernel's routing tables for the way of a packet from src to dst that came in by ifindex:
 * fills out_ifindex, next_hop and mtu of a DIRECT path. The neighbour is left to redirect_neigh. */
static __always_inline enum weir_drop fib_path(struct __sk_buff* skb, __u32 ifindex, bool ipv4,
                                               const struct weir_addr* src,
                                               const struct weir_addr* dst,
                                               struct weir_ct_path* path) {
  /* Any length: then the kernel tells the MTU of the route. With none it compares the frame with
   * the link's, and refuses the larger one without a word of the way. */
  struct bpf_fib_lookup fib = {.ifindex = ifindex, .tot_len = 1};
  if (ipv4) {
    fib.family = WEIR_AF_INET;
    fib.ipv4_src = src->word[3];
    fib.ipv4_dst = dst->word[3];
  } else {
    fib.family = WEIR_AF_INET6;
    __builtin_memcpy(fib.ipv6_src, src, sizeof(fib.ipv6_src));
    __builtin_memcpy(fib.ipv6_dst, dst, sizeof(fib.ipv6_dst));
  }
  if (bpf_fib_lookup(skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_SKIP_NEIGH) != BPF_FIB_LKUP_RET_SUCCESS)
    return WEIR_DROP_NO_ROUTE;
  path->out = WEIR_OUT_DIRECT;
  path->out_ifindex = fib.ifindex;
  if (fib.family == WEIR_AF_INET)
    path->next_hop = addr_v4(fib.ipv4_dst);
  else
    __builtin_memcpy(&path->next_hop, fib.ipv6_dst, sizeof(path->next_hop));
  const struct weir_device* device = device_lookup(fib.ifindex);
  path->mtu = device ? device->mtu : fib.mtu_result;
  return WEIR_DROP_NONE;
}
