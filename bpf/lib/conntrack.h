/* The connection table: one entry for both directions of a direct connection, two for a translated
 * one. An established packet needs nothing but its entry. */
#pragma once

#include "lib/drop.h"

/* Written by the packet path; deleted by the sweep (bpf/sweep.bpf.c) and on reuse of a closed
 * tuple. Preallocated, never LRU: no live connection makes room for another. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __type(key, struct weir_ct_key);
  __type(value, struct weir_ct);
} weir_ct SEC(".maps");

/* Fills key with the tuple, lower end first; returns 1 when src is the higher one. */
static __always_inline __u8 ct_key_fill(struct weir_ct_key* key, const struct weir_addr* src,
                                        __be16 src_port, const struct weir_addr* dst,
                                        __be16 dst_port, __u8 proto) {
  const int order = addr_compare(src, dst);
  const bool hi = order > 0 || (order == 0 && bpf_ntohs(src_port) > bpf_ntohs(dst_port));
  key->addr[0] = hi ? *dst : *src;
  key->addr[1] = hi ? *src : *dst;
  key->port[0] = hi ? dst_port : src_port;
  key->port[1] = hi ? src_port : dst_port;
  key->proto = proto;
  key->zone = 0;
  key->pad = 0;
  return hi;
}

static __always_inline struct weir_ct* ct_lookup(const struct weir_ct_key* key) {
  return bpf_map_lookup_elem(&weir_ct, key);
}

/* A packet makes a DYING entry LIVE again; false: it is being deleted. */
static __always_inline bool ct_revive(struct weir_ct* ct) {
  const __u32 state = READ_ONCE(ct->state);
  if (state == WEIR_CT_LIVE) return true;
  if (state == WEIR_CT_DEAD) return false;
  return __sync_val_compare_and_swap(&ct->state, WEIR_CT_DYING, WEIR_CT_LIVE) != WEIR_CT_DEAD;
}

enum ct_read { CT_GOOD, CT_STALE, CT_RACE };

/* Copies the path of one direction. GOOD only when before and after the copy the entry was this
 * key's and of this epoch: writers set epoch to 0 first and to the new one last. */
static __always_inline enum ct_read ct_read_path(const struct weir_ct* ct, __u64 id, __u64 epoch,
                                                 bool from_hi, struct weir_ct_path* path) {
  if (READ_ONCE(ct->epoch) != epoch) return READ_ONCE(ct->id) == id ? CT_STALE : CT_RACE;
  barrier();
  *path = from_hi ? ct->path[1] : ct->path[0];
  barrier();
  if (READ_ONCE(ct->id) != id) return CT_RACE;
  return READ_ONCE(ct->epoch) == epoch ? CT_GOOD : CT_STALE;
}

static __always_inline bool ct_from_opener(const struct weir_ct* ct, bool from_hi) {
  return ((READ_ONCE(ct->flags) & WEIR_CT_OPENER_HI) != 0) == from_hi;
}

/* The entry that keeps a connection's books: of a translated one, the opener's half. */
static __always_inline struct weir_ct* ct_books(struct weir_ct* ct) {
  if (!(READ_ONCE(ct->flags) & WEIR_CT_NAT_REPLY)) return ct;
  struct weir_ct* books = ct_lookup(&ct->peer);
  return books ? books : ct;
}

/* The tuple that packets of a translated entry are rewritten to. */
static __always_inline void ct_nat(const struct weir_ct* ct, __u32 flags, struct nat* nat) {
  const bool opener_hi = flags & WEIR_CT_PEER_HI;
  const bool source_hi = flags & WEIR_CT_NAT ? opener_hi : !opener_hi;
  nat->src = source_hi ? ct->peer.addr[1] : ct->peer.addr[0];
  nat->dst = source_hi ? ct->peer.addr[0] : ct->peer.addr[1];
  nat->src_port = source_hi ? ct->peer.port[1] : ct->peer.port[0];
  nat->dst_port = source_hi ? ct->peer.port[0] : ct->peer.port[1];
}

/* What translation makes of an event's tuple; what stays the same is zero. */
static __always_inline void event_fill_nat(struct weir_event* event, const struct nat* nat,
                                           const struct weir_ct* ct) {
  if (!addr_equal(&nat->src, &event->src) || nat->src_port != event->src_port) {
    event->nat_addr = nat->src;
    event->nat_port = nat->src_port;
  }
  if (!(ct->flags & WEIR_CT_SERVICE)) return;
  event->to_addr = nat->dst;
  event->to_port = nat->dst_port;
}

static __always_inline void event_fill_ct(struct weir_event* event, const struct weir_ct_key* key,
                                          const struct weir_ct* ct) {
  const __u32 flags = ct->flags;
  const bool hi = flags & WEIR_CT_OPENER_HI;
  event->src = hi ? key->addr[1] : key->addr[0];
  event->dst = hi ? key->addr[0] : key->addr[1];
  event->src_port = hi ? key->port[1] : key->port[0];
  event->dst_port = hi ? key->port[0] : key->port[1];
  /* Echo: the identifier is one port of two, see abi/event.h. */
  if (key->proto == IPPROTO_ICMP) event->dst_port = event->src_port ? bpf_htons(ICMP_ECHO << 8) : 0;
  if (key->proto == IPPROTO_ICMPV6)
    event->dst_port = event->src_port ? bpf_htons(ICMPV6_ECHO_REQUEST << 8) : 0;
  event->proto = key->proto;
  event->service = ct->service;
  event->out = hi ? ct->path[1].out : ct->path[0].out;
  event->packets[0] = hi ? ct->packets[1] : ct->packets[0];
  event->packets[1] = hi ? ct->packets[0] : ct->packets[1];
  event->bytes[0] = hi ? ct->bytes[1] : ct->bytes[0];
  event->bytes[1] = hi ? ct->bytes[0] : ct->bytes[1];
  if (flags & WEIR_CT_BY_RESPONDER) event->flags |= WEIR_EVENT_BY_RESPONDER;
  if (flags & WEIR_CT_RESET) event->flags |= WEIR_EVENT_RESET;
  if (flags & WEIR_CT_CLOSED) event->flags |= WEIR_EVENT_SEEN_CLOSED;
  if (flags & WEIR_CT_REPLIED) event->flags |= WEIR_EVENT_REPLIED;
  if (!(flags & WEIR_CT_NAT)) return;
  struct nat nat;
  ct_nat(ct, flags, &nat);
  event_fill_nat(event, &nat, ct);
  /* The responder's packets are counted in the other half. */
  const struct weir_ct* reply = ct_lookup(&ct->peer);
  if (!reply) return;
  const bool reply_hi = reply->flags & WEIR_CT_OPENER_HI;
  event->packets[1] += reply_hi ? reply->packets[0] : reply->packets[1];
  event->bytes[1] += reply_hi ? reply->bytes[0] : reply->bytes[1];
}

/* The other entry of a translated connection. */
static __always_inline struct weir_ct* ct_half(struct weir_ct* ct) {
  if (!(READ_ONCE(ct->flags) & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY))) return NULL;
  return ct_lookup(&ct->peer);
}

/* The key of the books: this packet's own, or the peer's. */
static __always_inline const struct weir_ct_key* ct_books_key(const struct weir_ct* ct,
                                                              const struct weir_ct_key* key) {
  return (READ_ONCE(ct->flags) & WEIR_CT_NAT_REPLY) ? &ct->peer : key;
}

static __always_inline void ct_event(const struct packet* pkt, struct weir_ct* ct, __u8 type) {
  struct weir_event* event = event_open(type);
  if (!event) return;
  const struct weir_ct* books = ct_books(ct);
  struct weir_ct_key key = *ct_books_key(ct, &pkt->key);
  event_fill_ct(event, &key, books);
  event->hook = pkt->hook;
  event->length = pkt->length;
  event->duration_ns =
      (type == WEIR_EVENT_ESTABLISHED ? books->replied_ns : event->time_ns) - books->created_ns;
  event_close(event);
}

/* Closes the books of a connection whose tuple another one takes. */
SHARED int ct_end(struct packet* pkt, struct weir_ct_key* key, struct weir_ct* old) {
  if (!pkt || !key || !old) return 0;
  const __u32 state = READ_ONCE(old->state);
  if (state == WEIR_CT_DEAD ||
      __sync_val_compare_and_swap(&old->state, state, WEIR_CT_DEAD) != state)
    return 0;
  ct_event(pkt, old, WEIR_EVENT_ENDED);
  if (READ_ONCE(old->flags) & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY)) {
    struct weir_ct_key peer = old->peer;
    bpf_map_delete_elem(&weir_ct, &peer);
  }
  bpf_map_delete_elem(&weir_ct, key);
  return 0;
}

/* The responder's first packet. Exactly one CPU sees the flag change and tells. */
static __always_inline void ct_replied(const struct packet* pkt, struct weir_ct* ct) {
  struct weir_ct* books = ct_books(ct);
  if (books != ct) __sync_fetch_and_or(&ct->flags, WEIR_CT_REPLIED);
  if (__sync_fetch_and_or(&books->flags, WEIR_CT_REPLIED) & WEIR_CT_REPLIED) return;
  books->replied_ns = bpf_ktime_get_ns();
  if (!(pkt->tcp_flags & TCP_RST)) ct_event(pkt, ct, WEIR_EVENT_ESTABLISHED);
}

/* FIN or RST: closed when both sides have said FIN, or any RST. */
static __always_inline void ct_closing(const struct packet* pkt, struct weir_ct* ct,
                                       bool from_opener) {
  struct weir_ct* books = ct_books(ct);
  const __u32 fins = WEIR_CT_FIN_OPENER | WEIR_CT_FIN_RESPONDER;
  const __u32 mine = from_opener ? WEIR_CT_FIN_OPENER : WEIR_CT_FIN_RESPONDER;
  const bool reset = pkt->tcp_flags & TCP_RST;
  __u32 add = reset ? WEIR_CT_RESET : mine;
  if (!from_opener && !(READ_ONCE(books->flags) & (fins | WEIR_CT_CLOSED)))
    add |= WEIR_CT_BY_RESPONDER;
  const __u32 flags = __sync_fetch_and_or(&books->flags, add) | add;
  if (!reset && (flags & fins) != fins) return;
  struct weir_ct* half = ct_half(ct);
  if (half) __sync_fetch_and_or(&half->flags, WEIR_CT_CLOSED);
  const __u32 before = __sync_fetch_and_or(&ct->flags, WEIR_CT_CLOSED);
  if (!(before & WEIR_CT_CLOSED)) ct_event(pkt, ct, WEIR_EVENT_CLOSED);
}

/* Both sides go on after a RST: it was out of window, or forged, and the connection lives. */
static __always_inline void ct_outlives_reset(struct weir_ct* ct, bool from_opener) {
  struct weir_ct* books = ct_books(ct);
  const __u32 both = WEIR_CT_ON_OPENER | WEIR_CT_ON_RESPONDER;
  const __u32 mine = from_opener ? WEIR_CT_ON_OPENER : WEIR_CT_ON_RESPONDER;
  const __u32 fins = WEIR_CT_FIN_OPENER | WEIR_CT_FIN_RESPONDER;
  const __u32 flags = __sync_fetch_and_or(&books->flags, mine) | mine;
  if ((flags & both) != both || (flags & fins) == fins) return;
  const __u32 over = both | WEIR_CT_RESET | WEIR_CT_CLOSED | WEIR_CT_BY_RESPONDER;
  struct weir_ct* half = ct_half(ct);
  if (half) __sync_fetch_and_and(&half->flags, ~over);
  __sync_fetch_and_and(&ct->flags, ~over);
}

/* A SYN that is no answer. */
static __always_inline bool opens_tcp(const struct packet* pkt) {
  return pkt->proto == IPPROTO_TCP && (pkt->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* What changes in a connection's life by this packet, beyond its counts. */
SHARED int ct_transition(struct packet* pkt, struct weir_ct* ct) {
  if (!pkt || !ct) return 0;
  const bool from_opener = ct_from_opener(ct, pkt->from_hi);
  if (!from_opener && !(READ_ONCE(ct->flags) & WEIR_CT_REPLIED)) ct_replied(pkt, ct);
  if (from_opener && (READ_ONCE(ct->flags) & WEIR_CT_OPENING) && !opens_tcp(pkt))
    __sync_fetch_and_and(&ct->flags, ~WEIR_CT_OPENING);
  if (pkt->tcp_flags & (TCP_FIN | TCP_RST))
    ct_closing(pkt, ct, from_opener);
  else if (READ_ONCE(ct->flags) & WEIR_CT_CLOSED)
    ct_outlives_reset(ct, from_opener);
  return 0;
}

static __always_inline void ct_count(const struct packet* pkt, struct weir_ct* ct) {
  const __u32 now = jiffies();
  if (READ_ONCE(ct->seen) != now) WRITE_ONCE(ct->seen, now);
  if (pkt->from_hi) {
    __sync_fetch_and_add(&ct->packets[1], pkt->segments);
    __sync_fetch_and_add(&ct->bytes[1], pkt->length);
  } else {
    __sync_fetch_and_add(&ct->packets[0], pkt->segments);
    __sync_fetch_and_add(&ct->bytes[0], pkt->length);
  }
}

/* May this packet change more of the connection than its counts? */
static __always_inline bool ct_may_turn(const struct packet* pkt, __u32 flags) {
  return (pkt->tcp_flags & (TCP_FIN | TCP_RST)) ||
         (flags & (WEIR_CT_REPLIED | WEIR_CT_CLOSED | WEIR_CT_OPENING)) != WEIR_CT_REPLIED;
}

/* Counts the packet and follows the connection's life. */
static __always_inline void ct_account(struct packet* pkt, struct weir_ct* ct) {
  ct_count(pkt, ct);
  if (ct_may_turn(pkt, READ_ONCE(ct->flags))) ct_transition(pkt, ct);
}
