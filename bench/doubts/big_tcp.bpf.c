// Carries a pod's packets: to a pod on this node, by VXLAN, or by a link; and in to the pod.
#include <linux/pkt_cls.h>

#include "doubt.bpf.h"

struct config {
  __u32 ifindex;  // where to: host side of the pod's link, the tunnel device or the link
  __u32 remote;   // tunnel: the other node, host order
};
const volatile struct config cfg = {.ifindex = 1};

SEC("tc")
int to_peer(struct __sk_buff* skb) {
  bpf_skb_change_type(skb, 0);
  return bpf_redirect_peer(cfg.ifindex, 0);
}

SEC("tc")
int to_tunnel(struct __sk_buff* skb) {
  struct bpf_tunnel_key key = {.tunnel_id = 7, .remote_ipv4 = cfg.remote, .tunnel_ttl = 64};
  if (bpf_skb_set_tunnel_key(skb, &key, sizeof key, BPF_F_ZERO_CSUM_TX)) return TC_ACT_SHOT;
  return bpf_redirect(cfg.ifindex, 0);
}

SEC("tc")
int to_link(struct __sk_buff* skb) { return bpf_redirect(cfg.ifindex, 0); }

char _license[] SEC("license") = "GPL";
