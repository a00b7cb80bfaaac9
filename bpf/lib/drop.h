/* The three ways out of a hook. Each counts, and every packet takes exactly one. */
#pragma once

#include "abi/drops.h"
#include "lib/capture.h"
#include "lib/event.h"

static __always_inline void drop_tell(const struct packet* pkt, __u32 ifindex, __u32 reason) {
  metric_add(pkt, WEIR_OUTCOME_DROP + reason);
  struct weir_event* event = event_open(WEIR_EVENT_DROP);
  if (!event) return;
  event_fill_packet(event, pkt, ifindex);
  event->reason = reason;
  event_close(event);
}

/* What the mark of a packet says that Weir has dropped: the kernel's own drop of it is no other. */
static __always_inline __u32 mark_dropped(__u32 mark) {
  return (mark & ~cfg.mark_mask) | (~cfg.mark_judged & cfg.mark_mask);
}

SHARED int drop_packet(struct __sk_buff* skb, struct packet* pkt, __u32 reason) {
  if (!pkt || reason > WEIR_DROP_MAX) return TCX_DROP;
  drop_tell(pkt, skb->ifindex, reason);
  capture(skb, pkt, WEIR_OUT_NONE, reason);
  skb->mark = mark_dropped(skb->mark);
  return TCX_DROP;
}

/* The one way to drop: counts, tells, and says why. */
static __always_inline int drop(struct __sk_buff* skb, const struct packet* pkt,
                                enum weir_drop reason) {
  return drop_packet(skb, (struct packet*)pkt, reason);
}

/* The same of XDP, for what it has changed already: all else it leaves to TC. */
static __always_inline int drop_frame(struct xdp_md* ctx, const struct packet* pkt,
                                      enum weir_drop reason) {
  drop_tell(pkt, ctx->ingress_ifindex, reason);
  return XDP_DROP;
}

/* Hands the packet on to this host's stack (ingress), or lets the stack's own packet go on
 * (egress). Foreign TCX programs behind ours see it too. */
static __always_inline int to_stack(struct __sk_buff* skb, const struct packet* pkt) {
  metric_add(pkt, WEIR_OUTCOME_STACK);
  capture(skb, pkt, WEIR_OUT_HOST, WEIR_DROP_NONE);
  return TCX_NEXT;
}

/* verdict: what bpf_redirect and its kin returned, or TCX_NEXT on an egress hook. */
static __always_inline int forward(struct __sk_buff* skb, const struct packet* pkt,
                                   enum weir_out out, int verdict) {
  metric_add(pkt, WEIR_OUTCOME_FORWARD);
  capture(skb, pkt, out, WEIR_DROP_NONE);
  return verdict;
}
