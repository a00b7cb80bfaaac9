/* Hook from_net: ingress of NICs and of the tunnel device. What other machines send. */
#include "lib/established.h"

/* What a NIC has for the stack is not ours to drop, however odd; what it has for a pod is. */
static __always_inline int unreadable(struct __sk_buff* skb, struct packet* pkt,
                                      enum weir_drop bad) {
  if (pkt->tunnelled) return drop(skb, pkt, bad);
  if (endpoint_lookup(&pkt->dst, &pkt->to.ep) == ENDPOINT_NONE) return to_stack(skb, pkt);
  return drop(skb, pkt, bad);
}

SEC("tcx/ingress")
int from_net(struct __sk_buff* skb) {
  const struct weir_state* state = state_get();
  if (is_judged(skb)) return TCX_NEXT; /* from to_net: the host's own packet to itself */
  struct packet* pkt = packet_get();
  if (!state || !pkt) return TCX_DROP; /* cannot happen: array maps have their elements */
  if (is_met_again(skb, state, true)) return TCX_NEXT;
  pkt->epoch = READ_ONCE(state->epoch);
  const bool tunnelled = cfg.tunnel && skb->ifindex == state->tunnel_ifindex;
  pkt->in = tunnelled ? skb->ifindex : WEIR_CT_IN_NET;
  const enum weir_drop bad = parse(skb, pkt, WEIR_HOOK_FROM_NET);
  pkt->tunnelled = tunnelled;
  if (bad) return unreadable(skb, pkt, bad);
  if (tunnelled) {
    if (!tunnel_source(skb, pkt)) return drop(skb, pkt, WEIR_DROP_TUNNEL_SOURCE);
  } else if (cfg.tunnel && pkt->proto == IPPROTO_UDP &&
             pkt->dst_port == bpf_htons(cfg.tunnel_port)) {
    /* The tunnel's outer packet: the stack unpacks it, and it comes back by the tunnel device. */
    return to_stack(skb, pkt);
  }
  return established(skb, pkt, true);
}
