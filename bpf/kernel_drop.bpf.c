/* What the kernel itself drops of this node's pods' packets: after Weir has sent them on, on their
 * way through the host's stack, or in the pod. Runs whenever the kernel frees a packet that it has
 * not delivered, so what is none of ours must cost next to nothing. What is counted:
 * docs/decisions/0052-what-the-kernel-drops.md */
#include "abi/kernel_drop.h"

#include "lib/conntrack.h"
#include "lib/kernel_structs.h"
#include "lib/socket.h"

#define IPV4_OFFSET 0x1fff
#define UDP_VXLAN_ETH_BYTES (8 + 8 + ETH_HLEN)

const volatile struct weir_kernel_reasons kernel_reasons SEC(".rodata.reasons") = {};

/* See abi/kernel_drop.h. Rows of the second are deleted by the agent with their pod; preallocated,
 * for a drop happens where memory may be short. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_KERNEL_REASONS);
  __type(key, __u32);
  __type(value, struct weir_metric);
} weir_kdrop SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_HASH);
  __uint(max_entries, 4096);
  __type(key, struct weir_kernel_drop);
  __type(value, struct weir_metric);
} weir_kdrop_pod SEC(".maps");

/* What is read of a packet as it lies in memory. */
struct lost {
  struct weir_event event;
  __u32 l4;  /* of the transport header, from skb->head on */
  __u32 pod; /* weir_endpoint.handle; 0: none of this node */
};

static __always_inline bool lost_read(const struct sk_buff* skb, __u32 at, void* to, __u32 size) {
  return at + size <= skb->tail && bpf_probe_read_kernel(to, size, skb->head + at) == 0;
}

static __always_inline void lost_ports(const struct sk_buff* skb, struct lost* lost) {
  __be16 word[4] = {};
  const __u8 proto = lost->event.proto;
  if (!lost_read(skb, lost->l4, word, sizeof(word))) return;
  if (is_icmp(proto)) {
    lost->event.src_port = word[2];
    lost->event.dst_port = word[0];
  } else if (proto_has_ports(proto)) {
    lost->event.src_port = word[0];
    lost->event.dst_port = word[1];
  }
}

/* The IP packet that lies there; false: none does. */
static __always_inline bool lost_parse(const struct sk_buff* skb, __u32 at, struct lost* lost) {
  struct weir_event* event = &lost->event;
  union {
    struct iphdr v4;
    struct ipv6hdr v6;
  } ip = {};
  bool later = false;
  if (!lost_read(skb, at, &ip.v4, sizeof(ip.v4))) return false;
  if (ip.v4.version == 4) {
    event->src = addr_v4(ip.v4.saddr);
    event->dst = addr_v4(ip.v4.daddr);
    event->proto = ip.v4.protocol;
    lost->l4 = at + ip.v4.ihl * 4;
    later = ip.v4.frag_off & bpf_htons(IPV4_OFFSET);
  } else if (ip.v4.version == 6 && lost_read(skb, at, &ip.v6, sizeof(ip.v6))) {
    __builtin_memcpy(&event->src, &ip.v6.saddr, sizeof(event->src));
    __builtin_memcpy(&event->dst, &ip.v6.daddr, sizeof(event->dst));
    event->proto = ip.v6.nexthdr;
    lost->l4 = at + sizeof(ip.v6);
  } else {
    return false;
  }
  event->src_port = event->dst_port = 0;
  event->length = skb->len - (at - (__u32)(skb->data - skb->head));
  if (!later) lost_ports(skb, lost);
  return true;
}

/* Also what a packet of the tunnel carries. */
static __always_inline bool lost_parse_all(const struct sk_buff* skb, bool on_node,
                                           struct lost* lost) {
  if (!lost_parse(skb, skb->network_header, lost)) return false;
  if (!cfg.tunnel || !on_node || lost->event.proto != IPPROTO_UDP ||
      lost->event.dst_port != bpf_htons(cfg.tunnel_port))
    return true;
  const struct lost outer = *lost;
  if (!lost_parse(skb, lost->l4 + UDP_VXLAN_ETH_BYTES, lost)) *lost = outer;
  return true;
}

/* The namespace where the packet was; NULL: none of this node's. What its socket has received has
 * no link any more: skb->dev may then be anything. */
static __always_inline const struct weir_netns* lost_where(const struct sk_buff* skb,
                                                           const struct sock* receiver,
                                                           __u64* cookie) {
  *cookie = skb->dev->nd_net.net->net_cookie;
  const struct weir_netns* netns = bpf_map_lookup_elem(&weir_netns, cookie);
  if (netns || !receiver) return netns;
  *cookie = receiver->__sk_common.skc_net.net->net_cookie;
  return bpf_map_lookup_elem(&weir_netns, cookie);
}

/* The pod of a packet whose tuple translation has made, and the tuple that it sent. */
static __always_inline bool lost_translated(struct lost* lost) {
  struct weir_event* event = &lost->event;
  struct weir_ct_key key;
  struct weir_endpoint ep;
  struct nat nat;
  const __be16 dst_port = is_icmp(event->proto) ? event->src_port : event->dst_port;
  const bool hi =
      ct_key_fill(&key, &event->src, event->src_port, &event->dst, dst_port, event->proto);
  const struct weir_ct* ct = ct_lookup(&key);
  if (!ct) return false;
  const __u32 flags = READ_ONCE(ct->flags);
  if (!(flags & WEIR_CT_NAT_REPLY) || !ct_from_opener(ct, hi)) return false;
  ct_nat(ct, flags, &nat); /* of the answer */
  if (endpoint_lookup(&nat.dst, &ep) != ENDPOINT_FOUND) return false;
  lost->pod = ep.handle;
  event->nat_addr = event->src;
  event->nat_port = event->src_port;
  event->src = nat.dst;
  event->src_port = nat.dst_port;
  if (flags & WEIR_CT_SERVICE) {
    event->to_addr = event->dst;
    event->to_port = event->dst_port;
    event->dst = nat.src;
    event->dst_port = nat.src_port;
    event->service = ct->service;
  }
  return true;
}

/* Whether the packet is of a pod of this node, or one that Weir has sent on. In a pod it is of that
 * pod; what it sends to itself is its own business. */
static __always_inline bool lost_is_ours(const struct sk_buff* skb, const struct weir_netns* netns,
                                         bool on_node, struct lost* lost) {
  const struct weir_event* event = &lost->event;
  struct weir_endpoint ep;
  if (!on_node) {
    const struct weir_addr self = addr_is_v4(&event->dst) ? netns->v4 : netns->v6;
    const bool is_src = addr_equal(&self, &event->src);
    if (is_src == addr_equal(&self, &event->dst)) return false;
    if (endpoint_lookup(&self, &ep) != ENDPOINT_FOUND) return false;
    lost->pod = ep.handle;
    return true;
  }
  if (endpoint_lookup(&event->dst, &ep) == ENDPOINT_FOUND ||
      endpoint_lookup(&event->src, &ep) == ENDPOINT_FOUND) {
    lost->pod = ep.handle;
    return true;
  }
  return lost_translated(lost) || (skb->mark & cfg.mark_mask) == cfg.mark_judged;
}

static __always_inline void lost_add(struct weir_metric* metric, __u32 packets, __u32 bytes) {
  metric->packets += packets;
  metric->bytes += bytes;
}

static __always_inline void lost_count(const struct sk_buff* skb, const struct lost* lost) {
  const struct weir_kernel_drop key = {.pod = lost->pod, .reason = lost->event.kernel_reason};
  const struct weir_metric none = {};
  const struct skb_shared_info* shared = (void*)(skb->head + skb->end);
  const __u32 segments = BPF_CORE_READ(shared, gso_segs);
  const __u32 packets = segments ? segments : 1;
  struct weir_metric* metric = bpf_map_lookup_elem(&weir_kdrop, &key.reason);
  if (metric) lost_add(metric, packets, lost->event.length);
  if (!lost->pod) return;
  metric = bpf_map_lookup_elem(&weir_kdrop_pod, &key);
  if (!metric) {
    bpf_map_update_elem(&weir_kdrop_pod, &key, &none, BPF_NOEXIST);
    metric = bpf_map_lookup_elem(&weir_kdrop_pod, &key);
  }
  if (metric) lost_add(metric, packets, lost->event.length);
}

static __always_inline void lost_tell(struct lost* lost) {
  struct weir_event* event = event_open(WEIR_EVENT_DROP);
  if (!event) return;
  lost->event.type = event->type;
  lost->event.time_ns = event->time_ns;
  *event = lost->event;
  event_close(event);
}

/* Arguments of the tracepoint: skb, where, enum skb_drop_reason, and, where tells_socket, the
 * receiving socket. */
SEC("tp_btf/kfree_skb")
int kernel_drop(__u64* ctx) {
  const struct sk_buff* skb = (const struct sk_buff*)ctx[0];
  const __u64 reason = ctx[2];
  if (reason >= WEIR_KERNEL_REASONS) return 0;
  const __u8 kind = kernel_reasons.kind[reason];
  if (kind == WEIR_KERNEL_LEFT_OUT) return 0;
  if (kind == WEIR_KERNEL_BY_TC && skb->mark == mark_dropped(skb->mark)) return 0;
  const struct sock* receiver = NULL;
  if (kernel_reasons.tells_socket) receiver = (const struct sock*)ctx[3];
  const struct weir_state* state = state_get();
  __u64 cookie = 0;
  const struct weir_netns* netns = lost_where(skb, receiver, &cookie);
  if (!netns || !state) return 0;
  const bool on_node = cookie == READ_ONCE(state->netns);
  /* TCP gives none for what comes behind a connection's end. Not told of sockets, believe only what
   * is said of packets on the node's links. */
  const bool has_socket = kernel_reasons.tells_socket ? receiver != NULL : !on_node;
  if (kind == WEIR_KERNEL_UNSAID && has_socket) return 0;
  struct lost lost = {};
  if (!lost_parse_all(skb, on_node, &lost)) return 0;
  if (!lost_is_ours(skb, netns, on_node, &lost)) return 0;
  lost.event.hook = WEIR_HOOK_KERNEL;
  lost.event.reason = WEIR_DROP_KERNEL;
  lost.event.kernel_reason = reason;
  lost.event.ifindex = on_node ? skb->dev->ifindex : 0;
  lost_count(skb, &lost);
  lost_tell(&lost);
  return 0;
}
