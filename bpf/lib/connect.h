/* Stage CONNECT: a packet without a valid entry. Says where both directions of its connection come
 * in and go out, then writes that down: a new entry, or the paths of the one whose epoch is past.
 */
#pragma once

#include "lib/resolve.h"
#include "lib/translate.h"

/* --- writing it down -------------------------------------------------------------------------- */

static __always_inline void paths_store(const struct packet* pkt, const struct paths* paths,
                                        struct weir_ct* ct) {
  const __u8 hi = pkt->from_hi & 1;
  ct->path[0] = hi ? paths->back : paths->there;
  ct->path[1] = hi ? paths->there : paths->back;
}

/* A DIRECT path's next hop may have changed without a version. */
static __always_inline bool same_path(const struct weir_ct_path* a, const struct weir_ct_path* b) {
  return a->out == b->out && a->version == b->version && a->out_ifindex == b->out_ifindex &&
         a->in_ifindex == b->in_ifindex && a->mtu == b->mtu && a->out != WEIR_OUT_DIRECT;
}

static __always_inline bool same_back(const struct packet* pkt, const struct paths* paths,
                                      const struct weir_ct* ct) {
  if (READ_ONCE(ct->flags) & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY)) return true;
  return same_path(pkt->from_hi ? &ct->path[0] : &ct->path[1], &paths->back);
}

/* A stale entry gets the paths of this epoch. One CPU rewrites; the others use their own decision
 * for this packet only, and so does who has read an older epoch than the entry's. */
static __always_inline void paths_refresh(const struct packet* pkt, const struct paths* paths,
                                          struct weir_ct* ct) {
  const __u64 old = READ_ONCE(ct->epoch);
  if (old == 0 || old > pkt->epoch) return;
  /* Nothing has changed behind either end: stamp the epoch, leave the paths to their readers. */
  if (same_path(pkt->from_hi ? &ct->path[1] : &ct->path[0], &paths->there) &&
      same_back(pkt, paths, ct)) {
    __sync_val_compare_and_swap(&ct->epoch, old, pkt->epoch);
    return;
  }
  if (__sync_val_compare_and_swap(&ct->epoch, old, 0) != old) return;
  const bool half = READ_ONCE(ct->flags) & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY);
  const __u8 hi = pkt->from_hi & 1;
  if (hi)
    ct->path[1] = paths->there;
  else
    ct->path[0] = paths->there;
  struct weir_ct_path* other = hi ? &ct->path[0] : &ct->path[1];
  if (!half)
    *other = paths->back;
  else if (pkt->tunnelled) /* the node that this direction may come from */
    other->next_hop = pkt->outer_src;
  WRITE_ONCE(ct->fib_seen, jiffies());
  __sync_lock_test_and_set(&ct->epoch, pkt->epoch);
}

static __always_inline void event_new(struct __sk_buff* skb, const struct packet* pkt,
                                      const struct weir_ct* ct, __u8 out) {
  struct weir_event* event = event_open(WEIR_EVENT_NEW);
  if (!event) return;
  event_fill_packet(event, pkt, skb->ifindex);
  event->out = out;
  event->service = ct->service;
  if (pkt->paths.translate) event_fill_nat(event, &pkt->nat, ct);
  event_close(event);
}

static __always_inline enum weir_drop ct_connect(struct __sk_buff* skb, struct packet* pkt) {
  pkt->asked = pkt->hook == WEIR_HOOK_FROM_NET ? 0 : sock_asked(skb, pkt);
  if (pkt->paths.translate) return nat_connect(pkt);
  ct_init_books(pkt, &pkt->fresh);
  pkt->fresh.service = pkt->asked;
  paths_store(pkt, &pkt->paths, &pkt->fresh);
  const long err = bpf_map_update_elem(&weir_ct, &pkt->key, &pkt->fresh, BPF_NOEXIST);
  pkt->paths.inserted = err == 0;
  return ct_insert_drop(err);
}

static __always_inline bool is_half(const struct weir_ct* ct) {
  return ct && (READ_ONCE(ct->flags) & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY));
}

/* DSR, on the node that the client speaks to. */
static __always_inline bool is_hand_over(const struct packet* pkt, const struct weir_ct* ct) {
  const struct weir_ct_path* path = pkt->from_hi ? &ct->path[1] : &ct->path[0];
  return path->dsr && path->out == WEIR_OUT_TUNNEL;
}

/* The tuple that the packet will bear, as far as it is known, of an entry or of a Service; and what
 * lies behind its destination. */
static __always_inline enum weir_drop connect_target(struct packet* pkt, struct weir_ct* ct) {
  pkt->service.id = 0;
  pkt->hand_over = 0;
  pkt->nat.src = pkt->src;
  pkt->nat.dst = pkt->dst;
  pkt->nat.src_port = pkt->src_port;
  pkt->nat.dst_port = pkt->dst_port;
  if (!ct && cfg.services && pkt->hook != WEIR_HOOK_TO_POD) return resolve(pkt);
  if (ct && is_hand_over(pkt, ct)) {
    pkt->hand_over = 1;
    return end_find(pkt->from_hi ? &ct->path[1].next_hop : &ct->path[0].next_hop, &pkt->to);
  }
  if (is_half(ct)) {
    ct_nat(ct, READ_ONCE(ct->flags), &pkt->nat);
    barrier();
    if (READ_ONCE(ct->id) != weir_ct_id(&pkt->key)) return WEIR_DROP_RACE;
  }
  return end_find(&pkt->nat.dst, &pkt->to);
}

/* Fills pkt->paths; an enum weir_drop. ct: the entry of this connection, or NULL. What lies behind
 * both ends is known. */
SHARED int connect_paths(struct __sk_buff* skb, struct packet* pkt, struct weir_ct* ct) {
  if (!pkt) return WEIR_DROP_RACE;
  struct paths* paths = &pkt->paths;
  __builtin_memset(paths, 0, sizeof(*paths));
  paths->there.set = paths->back.set = 1;
  paths->there.in_ifindex = pkt->in;
  paths->there.dsr = pkt->dsr | pkt->hand_over;
  const enum weir_drop bad = path_there(skb, pkt, &paths->there);
  if (bad || is_half(ct)) return bad;
  paths->back.in_ifindex = path_answers_in(&paths->there);
  paths->translate = ct ? TRANSLATE_NOT : translation(pkt);
  /* What the network sends to this host is the stack's, without an entry. */
  if (pkt->hook == WEIR_HOOK_FROM_NET && paths->there.out == WEIR_OUT_HOST && !paths->translate)
    return WEIR_DROP_NONE;
  /* The client is answered by the other node. */
  paths->back.set = !pkt->hand_over;
  return pkt->hand_over ? WEIR_DROP_NONE : path_back(skb, pkt, &paths->back);
}

/* The pod or node that this TCP connection was opened to is gone. Who has its address by now never
 * heard of it; who had it cannot say so. */
static __always_inline bool target_is_gone(const struct packet* pkt, const struct weir_ct* ct) {
  if (!ct || pkt->proto != IPPROTO_TCP || !ct_from_opener(ct, pkt->from_hi)) return false;
  struct weir_addr target = pkt->nat.dst;
  if (pkt->hand_over) target = pkt->from_hi ? ct->path[1].next_hop : ct->path[0].next_hop;
  const __u64* since = bpf_map_lookup_elem(&weir_gone, &target);
  return since && *since > READ_ONCE(ct->created_ns);
}

/* The source is believed, the destination found, and both ways are known. */
static __always_inline enum weir_drop connect_decide(struct __sk_buff* skb, struct packet* pkt,
                                                     struct weir_ct* ct) {
  enum weir_drop bad = source_check_hook(skb, pkt);
  if (!bad) bad = connect_target(pkt, ct);
  if (!bad && target_is_gone(pkt, ct)) bad = WEIR_DROP_POD_UNKNOWN;
  return bad ? bad : connect_paths(skb, pkt, ct);
}

/* The entry of this packet: an older one with the paths of this epoch, or a new one. NULL: *bad. */
static __always_inline struct weir_ct* connect_entry(struct __sk_buff* skb, struct packet* pkt,
                                                     struct weir_ct* ct, enum weir_drop* bad) {
  if (ct) {
    paths_refresh(pkt, &pkt->paths, ct);
    return ct;
  }
  *bad = ct_connect(skb, pkt);
  if (*bad) return NULL;
  ct = ct_lookup(&pkt->key);
  if (!ct) *bad = WEIR_DROP_RACE;
  if (ct && pkt->paths.inserted) event_new(skb, pkt, ct, pkt->paths.there.out);
  return ct;
}

/* Who waits for an answer gets one: what a Service refuses, and TCP to a pod that is gone. */
static __always_inline bool is_answered(const struct packet* pkt, enum weir_drop bad) {
  const bool old_tcp = pkt->proto == IPPROTO_TCP && !(pkt->tcp_flags & (TCP_SYN | TCP_RST));
  switch (bad) {
    case WEIR_DROP_SERVICE_NO_BACKEND:
      return !pkt->dsr; /* the node that handed it over knows of one, and this one soon will */
    case WEIR_DROP_SERVICE_NO_PORT:
      return true;
    case WEIR_DROP_SERVICE_NO_LOCAL: /* a balancer outside goes by health checks */
      return !(pkt->service.flags & WEIR_SERVICE_EXTERNAL);
    case WEIR_DROP_POD_UNKNOWN:
    case WEIR_DROP_BACKEND_GONE:
      return old_tcp;
    default:
      return false;
  }
}

static __always_inline int refuse(struct __sk_buff* skb, struct packet* pkt, bool ingress,
                                  enum weir_drop bad) {
  return is_answered(pkt, bad) ? reject(skb, pkt, ingress, bad) : drop(skb, pkt, bad);
}

static __always_inline bool is_translated_entry(const struct weir_ct* ct) {
  return ct && (READ_ONCE(ct->flags) & WEIR_CT_NAT) && (READ_ONCE(ct->flags) & WEIR_CT_SERVICE);
}

/* The body of both CONNECT stages. */
static __always_inline int connect(struct __sk_buff* skb, struct packet* pkt, bool ingress) {
  struct weir_ct* ct = NULL;
  if (pkt->flags & (PACKET_STALE | PACKET_REOPEN)) ct = ct_lookup(&pkt->key);
  enum weir_drop bad = end_find(&pkt->src, &pkt->from);
  if (bad) return drop(skb, pkt, bad);
  const bool reopen =
      ct && ((pkt->flags & PACKET_REOPEN) || (cfg.services && pkt->proto != IPPROTO_TCP &&
                                              (is_hand_over(pkt, ct) || target_moved(pkt, ct))));
  bad = connect_decide(skb, pkt, reopen ? NULL : ct);
  if (bad == WEIR_DROP_POD_UNKNOWN && !reopen && is_translated_entry(ct))
    bad = WEIR_DROP_BACKEND_GONE;
  if (bad) return refuse(skb, pkt, ingress, bad);
  const struct weir_ct_path* there = &pkt->paths.there;
  /* The stack's own, or for it to answer: without an entry. */
  if ((!ct || reopen) && !pkt->service.id &&
      ((pkt->hook == WEIR_HOOK_FROM_NET && there->out == WEIR_OUT_HOST) ||
       stack_answers(pkt, there, ingress)))
    return to_stack(skb, pkt);
  /* Only who may open the new connection ends the old one. */
  if (reopen) {
    ct_end(pkt, &pkt->key, ct);
    ct = NULL;
  }
  const bool known = ct;
  ct = connect_entry(skb, pkt, ct, &bad);
  if (!ct) return drop(skb, pkt, bad);
  const __u64 id = weir_ct_id(&pkt->key);
  /* Another CPU was first, and may have chosen another backend. */
  if (!known && pkt->service.id && !pkt->paths.inserted &&
      ct_read_path(ct, id, pkt->epoch, pkt->from_hi, &pkt->paths.there) != CT_GOOD)
    return drop(skb, pkt, WEIR_DROP_RACE);
  return deliver(skb, pkt, ct, id, there, ingress, false);
}
