/* Hook to_pod: egress of the host side of a pod's link. Only what comes through this host's stack
 * meets it: host processes, kubelet's probes, the stack's ICMP. */
#include "lib/established.h"

SEC("tcx/egress")
int to_pod(struct __sk_buff* skb) {
  const struct weir_state* state = state_get();
  struct packet* pkt = packet_get();
  if (!state || !pkt) return TCX_DROP; /* cannot happen: array maps have their elements */
  if (is_judged(skb) || is_met_again(skb, state, false)) return TCX_NEXT;
  pkt->epoch = READ_ONCE(state->epoch);
  pkt->in = WEIR_CT_IN_HOST;
  const enum weir_drop bad = parse(skb, pkt, WEIR_HOOK_TO_POD);
  if (bad) return drop(skb, pkt, bad);
  return established(skb, pkt, false);
}
