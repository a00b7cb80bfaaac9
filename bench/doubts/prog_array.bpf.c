// One PROG_ARRAY, tail-called by programs of the same type and of different attach types.
#include "doubt.bpf.h"

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} stages SEC(".maps");

SEC("tcx/ingress")
int ingress_entry(struct __sk_buff* skb) {
  bpf_tail_call(skb, &stages, 0);
  return 0;
}

SEC("tcx/egress")
int egress_entry(struct __sk_buff* skb) {
  bpf_tail_call(skb, &stages, 0);
  return 0;
}

SEC("tcx/ingress")
int ingress_stage(struct __sk_buff* skb) { return 0; }

SEC("tcx/egress")
int egress_stage(struct __sk_buff* skb) { return 0; }

char _license[] SEC("license") = "GPL";
