/* Of bench/lb_packets and bench/packet_ns: makes each repetition of BPF_PROG_TEST_RUN a packet of
 * its own, which the kernel does not, and hands it to the program under test. */
#include <stdbool.h>

/* libbpf's headers need the kernel's types before them. */
/* clang-format off */
#include <linux/types.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
/* clang-format on */

/* [0]: the program under test. One for each type of program. */
struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, 1);
  __uint(key_size, sizeof(__u32));
  __uint(value_size, sizeof(__u32));
} under_test SEC(".maps"), out_under_test SEC(".maps"), xdp_under_test SEC(".maps");

/* Written by the bench before a run. Flow i, of block i / ports, comes from client_base + block *
 * client_step, port first_port + i % ports, to vip_base + block * vip_step, port 80 + block *
 * port_step; its answers go the other way. IPv4, host order. */
__u32 flows = 1;       /* known ones, asked for in no order */
__u32 opens_every = 0; /* each n-th packet is the SYN of a new flow; 0: none */
__u32 next_new = 0;    /* the flow that is opened next */
__u32 client_base = 0, client_step = 0, vip_base = 0, vip_step = 0, port_step = 0;
bool answers = false;
bool goes_on = false; /* in place of a SYN: the client's next packet */
__u32 ports = 1;
__u16 first_port = 1024;
__u8 link[ETH_ALEN]; /* that frames are for */
__u32 turn = 0;

#define SYN 2
#define ACK 16

static __always_inline __u32 pick(void) {
  __u32 x = turn * 0x9e3779b1U;
  x ^= x >> 15;
  x *= 0x85ebca6bU;
  return (__u32)(((__u64)x * flows) >> 32);
}

static __always_inline bool write(void* data, void* end) {
  struct ethhdr* eth = data;
  struct iphdr* ip = (void*)(eth + 1);
  struct tcphdr* tcp = (void*)(ip + 1);
  if ((void*)(tcp + 1) > end) return false;
  turn++;
  const bool opens = opens_every && turn % opens_every == 0;
  const __u32 flow = opens ? next_new++ : pick();
  const __u32 block = flow / ports;
  const __be32 client = bpf_htonl(client_base + block * client_step);
  const __be32 vip = bpf_htonl(vip_base + block * vip_step);
  const __be16 port = bpf_htons(first_port + flow % ports);
  const __be16 vip_port = bpf_htons(80 + block * port_step);
  ip->saddr = answers ? vip : client;
  ip->daddr = answers ? client : vip;
  ip->ttl = 64;
  tcp->source = answers ? vip_port : port;
  tcp->dest = answers ? port : vip_port;
  ((__u8*)tcp)[13] = !opens || goes_on ? ACK : answers ? SYN | ACK : SYN;
  for (int i = 0; i < ETH_ALEN; i++) eth->h_dest[i] = link[i];
  return true;
}

SEC("tcx/ingress")
int fresh(struct __sk_buff* skb) {
  if (write((void*)(long)skb->data, (void*)(long)skb->data_end)) bpf_tail_call(skb, &under_test, 0);
  return TCX_DROP;
}

SEC("tcx/egress")
int out_fresh(struct __sk_buff* skb) {
  if (write((void*)(long)skb->data, (void*)(long)skb->data_end))
    bpf_tail_call(skb, &out_under_test, 0);
  return TCX_DROP;
}

SEC("xdp.frags")
int xdp_fresh(struct xdp_md* ctx) {
  if (write((void*)(long)ctx->data, (void*)(long)ctx->data_end))
    bpf_tail_call(ctx, &xdp_under_test, 0);
  return XDP_DROP;
}

/* In its place: what all of this costs by itself. */
SEC("tcx/ingress")
int nothing(struct __sk_buff* skb) { return TCX_NEXT; }

SEC("tcx/egress")
int out_nothing(struct __sk_buff* skb) { return TCX_NEXT; }

SEC("xdp.frags")
int xdp_nothing(struct xdp_md* ctx) { return XDP_PASS; }

char _license[] SEC("license") = "GPL";
