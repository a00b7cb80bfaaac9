/* The path of nearly every packet: one lookup, compare, count, rewrite, redirect. */
#pragma once

#include "lib/output.h"
#include "lib/stage.h"

#define FIB_TRUST_SECONDS 10 /* a DIRECT path is asked for again after that, agent or not */

/* No hop left, or too large for the way out. The stack tells the sender; but it would route a
 * Service's packet elsewhere and take a translated answer for its own. */
static __always_inline int unforwardable(struct __sk_buff* skb, struct packet* pkt, __u32 flags,
                                         const struct weir_ct_path* path, bool ingress) {
  const bool service = path->dsr || ((flags & WEIR_CT_SERVICE) && (flags & WEIR_CT_NAT));
  if (!service && !(flags & WEIR_CT_NAT_REPLY)) return to_stack(skb, pkt);
  if (!service || pkt->ttl <= 1) return drop(skb, pkt, WEIR_DROP_TTL);
  pkt->mtu = path->mtu;
  return reject(skb, pkt, ingress, WEIR_DROP_TOO_BIG);
}

/* id: weir_ct_id(&pkt->key). known: false in the stage CONNECT, which is large as it is. */
static __always_inline int deliver(struct __sk_buff* skb, struct packet* pkt, struct weir_ct* ct,
                                   __u64 id, const struct weir_ct_path* path, bool ingress,
                                   bool known) {
  const __u32 flags = READ_ONCE(ct->flags);
  const bool translated = flags & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY);
  if (stack_answers(pkt, path, ingress)) return unforwardable(skb, pkt, flags, path, ingress);
  if (translated) ct_nat(ct, flags, &pkt->nat); /* else a cold cache line is not touched */
  barrier();
  /* Nor may flags and translation be those of another key that got the element meanwhile. */
  if (READ_ONCE(ct->id) != id) return drop(skb, pkt, WEIR_DROP_RACE);
  ct_account(pkt, ct);
  if (translated && pkt->proto == IPPROTO_SCTP) {
    pkt->paths.there = *path;
    return stage_enter(skb, pkt, ingress, WEIR_STAGE_SCTP);
  }
  if (translated && !(known ? nat_apply(skb, pkt) : nat_by_helpers(skb, pkt)))
    return drop(skb, pkt, WEIR_DROP_REWRITE);
  return output(skb, pkt, path, ingress);
}

/* Packets of one connection come only the way it was opened, a tunnelled one from that very node.
 */
static __always_inline enum weir_drop source_check(const struct packet* pkt,
                                                   const struct weir_ct* ct,
                                                   const struct weir_ct_path* path) {
  /* What a node hands over, any node may, and the client itself. */
  if (path->set && path->dsr && (pkt->dsr || pkt->in == WEIR_CT_IN_NET)) return WEIR_DROP_NONE;
  if (!path->set || path->in_ifindex != pkt->in) return WEIR_DROP_SPOOFED;
  if (!pkt->tunnelled) return WEIR_DROP_NONE;
  const struct weir_addr* node = pkt->from_hi ? &ct->path[0].next_hop : &ct->path[1].next_hop;
  return addr_equal(node, &pkt->outer_src) ? WEIR_DROP_NONE : WEIR_DROP_TUNNEL_SOURCE;
}

static __always_inline bool fib_expired(const struct weir_ct* ct, const struct weir_ct_path* path) {
  return path->out == WEIR_OUT_DIRECT &&
         jiffies() - READ_ONCE(ct->fib_seen) > FIB_TRUST_SECONDS * (__u32)cfg.hz;
}

/* The packet opens another connection of this tuple: TCP when the last one has closed. Without such
 * a mark, who speaks from the opener's side of translated answers has left the Service, and now
 * addresses its backend. */
static __always_inline bool reopens(const struct packet* pkt, const struct weir_ct* ct) {
  const __u32 flags = READ_ONCE(ct->flags);
  if (pkt->proto != IPPROTO_TCP)
    return (flags & WEIR_CT_NAT_REPLY) && ct_from_opener(ct, pkt->from_hi) &&
           (pkt->hook == WEIR_HOOK_FROM_POD || pkt->hook == WEIR_HOOK_FROM_NET);
  return opens_tcp(pkt) && (flags & WEIR_CT_CLOSED);
}

/* REQUIRES: pkt is parsed, epoch and in are set. */
static __always_inline int established(struct __sk_buff* skb, struct packet* pkt, bool ingress) {
  if (pkt->flags & PACKET_ICMP_ERROR) return stage_enter(skb, pkt, ingress, WEIR_STAGE_ICMP_ERROR);
  pkt->from_hi =
      ct_key_fill(&pkt->key, &pkt->src, pkt->src_port, &pkt->dst, pkt->dst_port, pkt->proto);
  const __u64 id = weir_ct_id(&pkt->key);
  struct weir_ct_path path;
  for (int i = 0; i < 2; i++) {
    struct weir_ct* ct = ct_lookup(&pkt->key);
    if (!ct || !ct_revive(ct)) return stage_enter(skb, pkt, ingress, WEIR_STAGE_CONNECT);
    const enum ct_read read = ct_read_path(ct, id, pkt->epoch, pkt->from_hi, &path);
    if (read == CT_RACE) continue;
    if (reopens(pkt, ct)) {
      pkt->flags |= PACKET_REOPEN;
      return stage_enter(skb, pkt, ingress, WEIR_STAGE_CONNECT);
    }
    if (read == CT_STALE || fib_expired(ct, &path)) {
      pkt->flags |= PACKET_STALE;
      return stage_enter(skb, pkt, ingress, WEIR_STAGE_CONNECT);
    }
    const enum weir_drop bad = source_check(pkt, ct, &path);
    if (bad) return drop(skb, pkt, bad);
    /* A pod's link carries only what is for that pod. */
    if (pkt->hook == WEIR_HOOK_TO_POD && path.out_ifindex != skb->ifindex)
      return drop(skb, pkt, WEIR_DROP_POD_UNKNOWN);
    return deliver(skb, pkt, ct, id, &path, ingress, true);
  }
  return drop(skb, pkt, WEIR_DROP_RACE);
}
