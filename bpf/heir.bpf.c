/* What takes over from an earlier build whose connection table is replaced: in that build's stage
 * tables these stand in the place of CONNECT. What its table does not know, they judge by this
 * build's; so no connection begins in the old table while its rows are copied
 * (src/dataplane/hand_over.h). Loaded only then. */
#include "lib/established.h"

/* As the hook that has handed it on, which has also counted it. */
static __always_inline enum weir_drop parse_again(struct __sk_buff* skb, struct packet* pkt,
                                                  __u8 hook) {
  const enum weir_drop bad = parse_as(skb, pkt, hook, true);
  metric_take_back(pkt, WEIR_OUTCOME_IN);
  return bad;
}

SEC("tcx/ingress")
int heir_in(struct __sk_buff* skb) {
  const struct weir_state* state = state_get();
  struct packet* pkt = packet_get();
  if (!state || !pkt) return TCX_DROP; /* cannot happen: array maps have their elements */
  const bool net = device_lookup(skb->ifindex);
  const bool tunnelled = cfg.tunnel && skb->ifindex == state->tunnel_ifindex;
  pkt->epoch = READ_ONCE(state->epoch);
  pkt->in = net && !tunnelled ? WEIR_CT_IN_NET : skb->ifindex;
  const enum weir_drop bad = parse_again(skb, pkt, net ? WEIR_HOOK_FROM_NET : WEIR_HOOK_FROM_POD);
  pkt->tunnelled = tunnelled;
  if (bad) return drop(skb, pkt, bad);
  if (tunnelled && !tunnel_source(skb, pkt)) return drop(skb, pkt, WEIR_DROP_TUNNEL_SOURCE);
  return established(skb, pkt, true);
}

SEC("tcx/egress")
int heir_out(struct __sk_buff* skb) {
  const struct weir_state* state = state_get();
  struct packet* pkt = packet_get();
  if (!state || !pkt) return TCX_DROP; /* cannot happen: array maps have their elements */
  const bool net = skb->ifindex == LOOPBACK_IFINDEX || device_lookup(skb->ifindex);
  pkt->epoch = READ_ONCE(state->epoch);
  pkt->in = WEIR_CT_IN_HOST;
  const enum weir_drop bad = parse_again(skb, pkt, net ? WEIR_HOOK_TO_NET : WEIR_HOOK_TO_POD);
  return bad ? drop(skb, pkt, bad) : established(skb, pkt, false);
}

/* What the entry of an earlier build has seen since it was copied, or ever: its copy starts from
 * zero. */
SEC("syscall")
int ct_merge(struct weir_ct_books* books) {
  const struct weir_ct_key key = books->key;
  struct weir_ct* ct = ct_lookup(&key);
  if (!ct || ct->created_ns != books->created_ns) return 0;
  __sync_fetch_and_or(&ct->flags, books->flags & ~WEIR_CT_OPENING);
  if (!(books->flags & WEIR_CT_OPENING)) __sync_fetch_and_and(&ct->flags, ~WEIR_CT_OPENING);
  for (int i = 0; i < 2; i++) {
    __sync_fetch_and_add(&ct->packets[i], books->packets[i]);
    __sync_fetch_and_add(&ct->bytes[i], books->bytes[i]);
  }
  if ((__s32)(books->seen - READ_ONCE(ct->seen)) > 0) WRITE_ONCE(ct->seen, books->seen);
  if (!ct->replied_ns) ct->replied_ns = books->replied_ns;
  return 0;
}
