/* Of bench/routing_floor: a hop, two link addresses and a redirect. No checks, no books. */

#include <stdbool.h>

/* libbpf's headers need the kernel's types before them. */
/* clang-format off */
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
/* clang-format on */

#include "routing_floor.h"

#define TCX_NEXT (-1)

const volatile struct way to_pod, to_net;

/* TCP alone: neighbours and errors are the stack's. */
static __always_inline bool take_hop(struct __sk_buff* skb, const volatile struct way* way) {
  void* end = (void*)(long)skb->data_end;
  struct ethhdr* eth = (void*)(long)skb->data;
  struct iphdr* ip = (void*)(eth + 1);
  struct ipv6hdr* ip6 = (void*)(eth + 1);
  if ((void*)(ip6 + 1) > end) return false; /* TCP by IPv4 has 40 bytes, too */
  if (eth->h_proto == bpf_htons(ETH_P_IP) && ip->protocol == IPPROTO_TCP) {
    const __u32 check = ip->check + bpf_htons(0x0100);
    ip->check = (__u16)(check + (check >= 0xffff));
    ip->ttl--;
  } else if (eth->h_proto == bpf_htons(ETH_P_IPV6) && ip6->nexthdr == IPPROTO_TCP) {
    ip6->hop_limit--;
  } else {
    return false;
  }
  for (int i = 0; i < ETH_ALEN; ++i) {
    eth->h_dest[i] = way->to[i];
    eth->h_source[i] = way->from[i];
  }
  return true;
}

SEC("tcx/ingress")
int floor_from_pod(struct __sk_buff* skb) {
  return take_hop(skb, &to_net) ? (int)bpf_redirect(to_net.ifindex, 0) : TCX_NEXT;
}

SEC("tcx/ingress")
int floor_from_net(struct __sk_buff* skb) {
  return take_hop(skb, &to_pod) ? (int)bpf_redirect_peer(to_pod.ifindex, 0) : TCX_NEXT;
}

char _license[] SEC("license") = "GPL";
