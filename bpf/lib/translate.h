/* A translated connection: two entries, each complete, one per tuple on the wire. */
#pragma once

#include "lib/paths.h"
#include "lib/sock_flow.h"

/* The pods' gateway, on every pod's link: the source of a pod's connection to itself. */
#define WEIR_GATEWAY_V4 0xa9fe0101 /* 169.254.1.1 */
#define WEIR_GATEWAY_V6 0xfe80     /* fe80::1 */

static __always_inline struct weir_addr addr_gateway(bool ipv4) {
  if (ipv4) return addr_v4(bpf_htonl(WEIR_GATEWAY_V4));
  return (struct weir_addr){.word = {bpf_htonl(WEIR_GATEWAY_V6 << 16), 0, 0, bpf_htonl(1)}};
}

static __always_inline void ct_init(const struct packet* pkt, const struct weir_ct_key* key,
                                    bool opener_hi, struct weir_ct* ct) {
  __builtin_memset(ct, 0, sizeof(*ct));
  ct->id = weir_ct_id(key);
  ct->epoch = pkt->epoch;
  ct->state = WEIR_CT_LIVE;
  ct->seen = jiffies();
  ct->fib_seen = ct->seen;
  ct->created_ns = bpf_ktime_get_ns();
  ct->flags = opener_hi ? WEIR_CT_OPENER_HI : 0;
}

/* The entry that keeps the books. */
static __always_inline void ct_init_books(const struct packet* pkt, struct weir_ct* ct) {
  ct_init(pkt, &pkt->key, pkt->from_hi, ct);
  if (opens_tcp(pkt)) ct->flags |= WEIR_CT_OPENING;
}

/* bpf_map_update_elem's refusals as reasons. EEXIST is no drop: another CPU was first. */
static __always_inline enum weir_drop ct_insert_drop(long err) {
  return err == -E2BIG || err == -ENOMEM ? WEIR_DROP_CT_FULL : WEIR_DROP_NONE;
}

/* One half: its own packets go by `path`; of the other direction only the far node is known. */
static __always_inline void half_fill(struct weir_ct* ct, bool from_hi, bool peer_hi,
                                      const struct weir_ct_path* path,
                                      const struct weir_ct_path* other) {
  if (peer_hi) ct->flags |= WEIR_CT_PEER_HI;
  if (from_hi) {
    ct->path[1] = *path;
    ct->path[0].next_hop = other->next_hop;
  } else {
    ct->path[0] = *path;
    ct->path[1].next_hop = other->next_hop;
  }
}

/* While tables of earlier builds are taken over (src/dataplane/hand_over.h): those, whose rows of
 * late are not in weir_ct yet. Else empty. */
#define BEFORE(number)                        \
  struct {                                    \
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
    __uint(max_entries, 1);                   \
    __type(key, __u32);                       \
    __array(                                  \
        values, struct {                      \
          __uint(type, BPF_MAP_TYPE_HASH);    \
          __uint(max_entries, 1);             \
          __type(key, struct weir_ct_key);    \
          __type(value, struct weir_ct);      \
        });                                   \
  } weir_before_##number SEC(".maps")
BEFORE(0);
BEFORE(1);
#undef BEFORE

static __always_inline bool is_claimed_before(const struct weir_ct_key* key) {
  const __u32 zero = 0;
  void* table = bpf_map_lookup_elem(&weir_before_0, &zero);
  if (table && bpf_map_lookup_elem(table, key)) return true;
  table = bpf_map_lookup_elem(&weir_before_1, &zero);
  return table && bpf_map_lookup_elem(table, key);
}

#define NAT_TRIES 256 /* at 95 % use of the range all fail once in 500,000 connections */

struct nat_search {
  struct packet* pkt;
  long err;
  bool echo;
  bool keep; /* the first try keeps the source port */
};

#define NAT_FREE_TRIES 128 /* then the ports of closed connections serve, too */

/* A closed connection leaves its port to another one. */
static __always_inline bool nat_takes_over(struct packet* pkt, struct weir_ct* old) {
  const __u32 flags = READ_ONCE(old->flags);
  if (!(flags & WEIR_CT_CLOSED) || !(flags & WEIR_CT_NAT_REPLY)) return false;
  ct_end(pkt, &pkt->reply_key, old);
  return true;
}

/* Claims the answer's tuple with one source port. Looks first: a taken port costs no insertion. */
static long nat_try(__u32 i, struct nat_search* search) {
  struct packet* pkt = search->pkt;
  const __u32 range = cfg.nat_port_max - cfg.nat_port_min + 1;
  if (i || !search->keep)
    pkt->nat.src_port = bpf_htons(cfg.nat_port_min + bpf_get_prandom_u32() % range);
  if (search->echo) pkt->nat.dst_port = pkt->nat.src_port;
  const bool hi = ct_key_fill(&pkt->reply_key, &pkt->nat.src, pkt->nat.src_port, &pkt->nat.dst,
                              pkt->nat.dst_port, pkt->proto);
  struct weir_ct* old = ct_lookup(&pkt->reply_key);
  if (is_claimed_before(&pkt->reply_key)) return 0;
  if (old && (i < NAT_FREE_TRIES || !nat_takes_over(pkt, old))) return 0;
  ct_init(pkt, &pkt->reply_key, hi, &pkt->reply);
  pkt->reply.flags |= WEIR_CT_NAT_REPLY | (pkt->service.id ? WEIR_CT_SERVICE : 0);
  pkt->reply.service = pkt->service.id;
  pkt->reply.peer = pkt->key;
  half_fill(&pkt->reply, !hi, pkt->from_hi, &pkt->paths.back, &pkt->paths.there);
  search->err = bpf_map_update_elem(&weir_ct, &pkt->reply_key, &pkt->reply, BPF_NOEXIST);
  return search->err != -EEXIST;
}

/* May the source port stay as it is? As this node's, only in the range that the host leaves: its
 * sockets may speak to the backend directly, and make no entries. */
static __always_inline bool nat_keeps_port(const struct packet* pkt) {
  const __u16 port = bpf_ntohs(pkt->src_port);
  return (pkt->paths.translate == TRANSLATE_TARGET && pkt->hook != WEIR_HOOK_TO_NET) ||
         (port >= cfg.nat_port_min && port <= cfg.nat_port_max);
}

/* The source that the translated packet bears. */
static __always_inline enum weir_drop nat_source(struct packet* pkt) {
  if (pkt->paths.translate == TRANSLATE_TARGET) {
    /* A pod that gets itself would answer on its own loopback. */
    if (pkt->hook == WEIR_HOOK_FROM_POD && addr_equal(&pkt->nat.dst, &pkt->src))
      pkt->nat.src = addr_gateway(pkt->ipv4);
    return WEIR_DROP_NONE;
  }
  const struct weir_device* device = device_lookup(pkt->paths.there.out_ifindex);
  if (!device) return WEIR_DROP_NAT_NO_ADDRESS;
  pkt->nat.src = pkt->ipv4 ? device->v4 : device->v6;
  return addr_is_zero(&pkt->nat.src) ? WEIR_DROP_NAT_NO_ADDRESS : WEIR_DROP_NONE;
}

/* Finds a source port that no other connection to the same place uses, and writes both halves. The
 * answer's half goes first: its key is the claim on the port. An enum weir_drop. */
SHARED int nat_connect(struct packet* pkt) {
  if (!pkt) return WEIR_DROP_RACE;
  const bool echo = is_icmp(pkt->proto) && pkt->src_port;
  if (!has_ports(pkt) && !echo) return WEIR_DROP_NOT_TRANSLATABLE;
  /* Its checksum spans the fragments. */
  if (pkt->proto == IPPROTO_SCTP && (pkt->flags & PACKET_FRAGMENT))
    return WEIR_DROP_NOT_TRANSLATABLE;
  const enum weir_drop bad = nat_source(pkt);
  if (bad) return bad;
  struct nat_search search = {
      .pkt = pkt, .err = -EEXIST, .echo = echo, .keep = nat_keeps_port(pkt)};
  bpf_loop(NAT_TRIES, nat_try, &search, 0);
  if (search.err) return search.err == -EEXIST ? WEIR_DROP_NAT_EXHAUSTED : WEIR_DROP_CT_FULL;

  ct_init_books(pkt, &pkt->fresh);
  pkt->fresh.flags |= WEIR_CT_NAT | (pkt->service.id ? WEIR_CT_SERVICE : 0);
  pkt->fresh.service = pkt->service.id ? pkt->service.id : pkt->asked;
  pkt->fresh.peer = pkt->reply_key;
  half_fill(&pkt->fresh, pkt->from_hi, pkt->reply.flags & WEIR_CT_OPENER_HI, &pkt->paths.there,
            &pkt->paths.back);
  const long err = bpf_map_update_elem(&weir_ct, &pkt->key, &pkt->fresh, BPF_NOEXIST);
  pkt->paths.inserted = err == 0;
  if (err) bpf_map_delete_elem(&weir_ct, &pkt->reply_key);
  return ct_insert_drop(err);
}
