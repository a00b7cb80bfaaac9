/* Hook from_pod: ingress of the host side of a pod's link. What the pod sends. */
#include "lib/established.h"

SEC("tcx/ingress")
int from_pod(struct __sk_buff* skb) {
  const struct weir_state* state = state_get();
  struct packet* pkt = packet_get();
  if (!state || !pkt) return TCX_DROP; /* cannot happen: array maps have their elements */
  if (is_met_again(skb, state, true)) return TCX_NEXT;
  pkt->epoch = READ_ONCE(state->epoch);
  pkt->in = skb->ifindex;
  const enum weir_drop bad = parse(skb, pkt, WEIR_HOOK_FROM_POD);
  /* Nothing that cannot be read leaves a pod: policy could not judge it. */
  if (bad) return drop(skb, pkt, bad);
  return established(skb, pkt, true);
}
