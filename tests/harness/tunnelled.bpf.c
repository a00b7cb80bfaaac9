/* Test only: gives a packet the metadata that a tunnel device would, then runs the program under
 * test. BPF_PROG_TEST_RUN cannot; but what bpf_skb_set_tunnel_key sets as the local end is what
 * bpf_skb_get_tunnel_key reads as the remote one. */
#include "abi/addr.h"
/* clang-format off: the helpers need the types before them */
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/bpf.h>
/* clang-format on */

/* One element: who sent the outer packet. Written by the test. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct weir_addr);
} outer_source SEC(".maps");

/* One element: the network identifier. Written by the test. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} vni SEC(".maps");

/* [0]: the program under test. Written by the test. */
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} under_test SEC(".maps");

SEC("tcx/ingress")
int tunnelled(struct __sk_buff* skb) {
  const __u32 zero = 0;
  const struct weir_addr* source = bpf_map_lookup_elem(&outer_source, &zero);
  const __u32* id = bpf_map_lookup_elem(&vni, &zero);
  if (!source || !id) return TCX_DROP;
  struct bpf_tunnel_key key = {.tunnel_id = *id};
  if (source->word[2] == bpf_htonl(WEIR_V4_MAPPED)) {
    key.local_ipv4 = bpf_ntohl(source->word[3]);
    if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), 0)) return TCX_DROP;
  } else {
    __builtin_memcpy(key.local_ipv6, source, sizeof(key.local_ipv6));
    if (bpf_skb_set_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6)) return TCX_DROP;
  }
  bpf_tail_call(skb, &under_test, 0);
  return TCX_DROP;
}

char _license[] SEC("license") = "GPL";
