// Two programs to attach; what they do does not matter.
#include "doubt.bpf.h"

SEC("tc")
int first(struct __sk_buff* skb) { return 0; }

SEC("tc")
int second(struct __sk_buff* skb) { return 0; }

char _license[] SEC("license") = "GPL";
