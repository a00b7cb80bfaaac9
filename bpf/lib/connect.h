/* Stage CONNECT: a packet without a valid entry. Says where both directions of its connection come
 * in and go out, then writes that down: a new entry, or the paths of the one whose epoch is past.
 */
#pragma once

#include "lib/established.h"
#include "lib/fib.h"

/* --- what lies behind the two addresses ------------------------------------------------------- */

struct ends {
  bool src_local, dst_local; /* src_ep, dst_ep are valid */
  __u8 src_kind, dst_kind;   /* enum weir_route_kind, where not local */
};

static __always_inline enum weir_drop ends_find(struct packet* pkt, struct ends* ends) {
  const enum endpoint_found src = endpoint_lookup(&pkt->src, &pkt->src_ep);
  const enum endpoint_found dst = endpoint_lookup(&pkt->dst, &pkt->dst_ep);
  if (src == ENDPOINT_RACE || dst == ENDPOINT_RACE) return WEIR_DROP_RACE;
  ends->src_local = src == ENDPOINT_FOUND;
  ends->dst_local = dst == ENDPOINT_FOUND;
  ends->src_kind = WEIR_ROUTE_OUTSIDE;
  ends->dst_kind = WEIR_ROUTE_OUTSIDE;
  if (!ends->src_local && route_lookup(&pkt->src, &pkt->src_route))
    ends->src_kind = pkt->src_route.kind;
  if (!ends->dst_local && route_lookup(&pkt->dst, &pkt->dst_route))
    ends->dst_kind = pkt->dst_route.kind;
  return WEIR_DROP_NONE;
}

/* --- one direction's way out ------------------------------------------------------------------ */

static __always_inline void path_to_endpoint(struct weir_ct_path* path,
                                             const struct weir_endpoint* ep) {
  path->out = WEIR_OUT_LOCAL;
  path->out_ifindex = ep->ifindex;
  path->version = ep->version;
  path->mtu = 0;
  __builtin_memcpy(path->mac, ep->mac, WEIR_MAC_LEN);
}

static __always_inline void path_to_tunnel(struct weir_ct_path* path,
                                           const struct weir_route* route) {
  const struct weir_state* state = state_get();
  if (!state) return;
  path->out = WEIR_OUT_TUNNEL;
  path->out_ifindex = state->tunnel_ifindex;
  path->next_hop = route->node_addr;
  path->version = route->version;
  const struct weir_device* device = device_lookup(state->tunnel_ifindex);
  path->mtu = device ? device->mtu : 0;
}

/* From a pod of this node, src, to an address that is none: kind and route say what it is. */
static __always_inline enum weir_drop path_from_pod(struct __sk_buff* skb, const struct packet* pkt,
                                                    __u8 kind, const struct weir_route* route,
                                                    const struct weir_endpoint* src,
                                                    const struct weir_addr* dst,
                                                    struct weir_ct_path* path) {
  switch (kind) {
    case WEIR_ROUTE_LOCAL_PODS:
      return WEIR_DROP_POD_UNKNOWN;
    case WEIR_ROUTE_HOST:
      path->out = WEIR_OUT_HOST;
      path->version = route->version;
      return WEIR_DROP_NONE;
    case WEIR_ROUTE_PODS:
    case WEIR_ROUTE_NODE:
      if (cfg.tunnel) {
        /* A node without a tunnel end: the agent tells that as a conflict. */
        if (addr_is_zero(&route->node_addr)) return WEIR_DROP_NO_ROUTE;
        path_to_tunnel(path, route);
        return WEIR_DROP_NONE;
      }
      path->version = route->version;
      break;
    default:
      break;
  }
  return fib_path(skb, src->ifindex, pkt->ipv4, &src->id, dst, path);
}

/* --- the hooks' decisions ----------------------------------------------------------------------
 */
static __always_inline enum weir_drop connect_from_pod(struct __sk_buff* skb, struct packet* pkt,
                                                       const struct ends* ends,
                                                       struct paths* paths) {
  /* What stays on the link goes nowhere, whoever sent it. */
  if (addr_is_multicast(&pkt->dst)) return WEIR_DROP_LINK_MULTICAST;
  /* A pod may only speak with its own address, by its own link. */
  if (!ends->src_local || pkt->src_ep.ifindex != skb->ifindex) return WEIR_DROP_SPOOFED;
  path_to_endpoint(&paths->back, &pkt->src_ep);
  if (ends->dst_local) {
    path_to_endpoint(&paths->there, &pkt->dst_ep);
    paths->back.in_ifindex = pkt->dst_ep.ifindex;
    return WEIR_DROP_NONE;
  }
  /* Who reaches a node's tunnel port could put packets on any pod's wire. */
  if (cfg.tunnel && (ends->dst_kind == WEIR_ROUTE_HOST || ends->dst_kind == WEIR_ROUTE_NODE) &&
      pkt->proto == IPPROTO_UDP && pkt->dst_port == bpf_htons(cfg.tunnel_port))
    return WEIR_DROP_TUNNEL_FORBIDDEN;
  const enum weir_drop bad = path_from_pod(skb, pkt, ends->dst_kind, &pkt->dst_route, &pkt->src_ep,
                                           &pkt->dst, &paths->there);
  if (bad) return bad;
  paths->back.in_ifindex = paths->there.out == WEIR_OUT_HOST     ? WEIR_CT_IN_HOST
                           : paths->there.out == WEIR_OUT_TUNNEL ? paths->there.out_ifindex
                                                                 : WEIR_CT_IN_NET;
  paths->translate = cfg.masquerade && ends->dst_kind == WEIR_ROUTE_OUTSIDE;
  return WEIR_DROP_NONE;
}

/* A source is believed only where it can come from: pods' behind their node's tunnel end. */
static __always_inline enum weir_drop source_check_net(const struct packet* pkt,
                                                       const struct ends* ends) {
  if (ends->src_local || ends->src_kind == WEIR_ROUTE_LOCAL_PODS) return WEIR_DROP_SPOOFED;
  if (pkt->tunnelled) {
    const bool node = ends->src_kind == WEIR_ROUTE_PODS || ends->src_kind == WEIR_ROUTE_NODE;
    return node && addr_equal(&pkt->src_route.node_addr, &pkt->outer_src) ? WEIR_DROP_NONE
                                                                          : WEIR_DROP_TUNNEL_SOURCE;
  }
  if (cfg.tunnel && ends->src_kind == WEIR_ROUTE_PODS) return WEIR_DROP_SPOOFED;
  return WEIR_DROP_NONE;
}

static __always_inline enum weir_drop connect_from_net(struct __sk_buff* skb, struct packet* pkt,
                                                       const struct ends* ends,
                                                       struct paths* paths) {
  const enum weir_drop bad = source_check_net(pkt, ends);
  if (bad) return bad;
  if (!ends->dst_local) {
    /* The stack's own business: this host's addresses, and on NICs what it may route. */
    const bool stack = ends->dst_kind == WEIR_ROUTE_HOST ||
                       (!pkt->tunnelled && ends->dst_kind != WEIR_ROUTE_LOCAL_PODS);
    paths->there.out = WEIR_OUT_HOST;
    return stack ? WEIR_DROP_NONE : WEIR_DROP_POD_UNKNOWN;
  }
  path_to_endpoint(&paths->there, &pkt->dst_ep);
  paths->back.in_ifindex = pkt->dst_ep.ifindex;
  if (pkt->tunnelled) {
    path_to_tunnel(&paths->back, &pkt->src_route);
    return WEIR_DROP_NONE;
  }
  if (ends->src_kind == WEIR_ROUTE_PODS || ends->src_kind == WEIR_ROUTE_NODE)
    paths->back.version = pkt->src_route.version;
  return fib_path(skb, pkt->dst_ep.ifindex, pkt->ipv4, &pkt->dst, &pkt->src, &paths->back);
}

/* The host and its own pods always reach each other. */
static __always_inline enum weir_drop connect_to_pod(struct __sk_buff* skb, struct packet* pkt,
                                                     const struct ends* ends, struct paths* paths) {
  if (addr_is_multicast(&pkt->dst)) return WEIR_DROP_LINK_MULTICAST;
  if (!ends->dst_local || pkt->dst_ep.ifindex != skb->ifindex) return WEIR_DROP_POD_UNKNOWN;
  path_to_endpoint(&paths->there, &pkt->dst_ep);
  paths->back.in_ifindex = pkt->dst_ep.ifindex;
  paths->back.out = WEIR_OUT_HOST;
  paths->back.version = ends->src_kind == WEIR_ROUTE_HOST ? pkt->src_route.version : 0;
  return WEIR_DROP_NONE;
}

/* --- writing it down -------------------------------------------------------------------------- */

static __always_inline void paths_store(const struct packet* pkt, const struct paths* paths,
                                        struct weir_ct* ct) {
  const __u8 hi = pkt->from_hi & 1;
  ct->path[0] = hi ? paths->back : paths->there;
  ct->path[1] = hi ? paths->there : paths->back;
}

static __always_inline void ct_init(const struct packet* pkt, const struct weir_ct_key* key,
                                    bool opener_hi, struct weir_ct* ct) {
  __builtin_memset(ct, 0, sizeof(*ct));
  ct->id = ct_id(key);
  ct->epoch = pkt->epoch;
  ct->state = WEIR_CT_LIVE;
  ct->seen = jiffies();
  ct->fib_seen = ct->seen;
  ct->created_ns = bpf_ktime_get_ns();
  ct->flags = opener_hi ? WEIR_CT_OPENER_HI : 0;
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
  const __u32 flags = READ_ONCE(ct->flags);
  const __u8 hi = pkt->from_hi & 1;
  if (hi)
    ct->path[1] = paths->there;
  else
    ct->path[0] = paths->there;
  if (!(flags & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY))) {
    if (hi)
      ct->path[0] = paths->back;
    else
      ct->path[1] = paths->back;
  }
  WRITE_ONCE(ct->fib_seen, jiffies());
  __sync_lock_test_and_set(&ct->epoch, pkt->epoch);
}

static __always_inline void event_new(struct __sk_buff* skb, const struct packet* pkt,
                                      const struct weir_ct* ct, __u8 out) {
  struct weir_event* event = event_open(WEIR_EVENT_NEW);
  if (!event) return;
  event_fill_packet(event, pkt, skb->ifindex);
  event->out = out;
  event->nat_addr = ct->nat_addr;
  event->nat_port = ct->nat_port;
  event_close(event);
}

/* bpf_map_update_elem's refusals as reasons. EEXIST is no drop: another CPU was first. */
static __always_inline enum weir_drop ct_insert_drop(long err) {
  return err == -E2BIG || err == -ENOMEM ? WEIR_DROP_CT_FULL : WEIR_DROP_NONE;
}

#define NAT_TRIES 32

/* Finds a source port that no other connection to the same place uses, and writes both halves. The
 * answer's half goes first: its key is the claim on the port. */
SHARED int nat_connect(struct packet* pkt) {
  if (!pkt) return WEIR_DROP_RACE;
  const struct paths* paths = &pkt->paths;
  const bool echo = is_icmp(pkt->proto) && pkt->src_port;
  if (pkt->proto != IPPROTO_TCP && pkt->proto != IPPROTO_UDP && !echo)
    return WEIR_DROP_NOT_TRANSLATABLE;
  const struct weir_device* device = device_lookup(paths->there.out_ifindex);
  if (!device) return WEIR_DROP_NAT_NO_ADDRESS;
  struct weir_addr node = pkt->ipv4 ? device->v4 : device->v6;
  if (addr_is_zero(&node)) return WEIR_DROP_NAT_NO_ADDRESS;

  const __u32 range = cfg.nat_port_max - cfg.nat_port_min + 1;
  __u32 offset = (bpf_ntohs(pkt->src_port) - cfg.nat_port_min);
  if (offset >= range) offset = bpf_get_prandom_u32() % range;
  const __u8 hi = ct_key_fill(&pkt->reply_key, &node, 0, &pkt->dst, pkt->dst_port, pkt->proto) & 1;
  ct_init(pkt, &pkt->reply_key, hi, &pkt->reply);
  pkt->reply.flags |= WEIR_CT_NAT_REPLY;
  pkt->reply.peer = pkt->key;
  pkt->reply.nat_addr = pkt->src;
  pkt->reply.nat_port = pkt->src_port;
  if (hi)
    pkt->reply.path[0] = paths->back;
  else
    pkt->reply.path[1] = paths->back;
  __be16 port = 0;
  long err = -EEXIST;
  for (int i = 0; i < NAT_TRIES && err == -EEXIST; i++) {
    port = bpf_htons(cfg.nat_port_min + offset);
    if (hi || echo) pkt->reply_key.port[1] = port;
    if (!hi || echo) pkt->reply_key.port[0] = port;
    pkt->reply.id = ct_id(&pkt->reply_key);
    err = bpf_map_update_elem(&weir_ct, &pkt->reply_key, &pkt->reply, BPF_NOEXIST);
    offset = bpf_get_prandom_u32() % range;
  }
  if (err) return err == -EEXIST ? WEIR_DROP_NAT_EXHAUSTED : WEIR_DROP_CT_FULL;

  ct_init(pkt, &pkt->key, pkt->from_hi, &pkt->fresh);
  pkt->fresh.flags |= WEIR_CT_NAT;
  pkt->fresh.peer = pkt->reply_key;
  pkt->fresh.nat_addr = node;
  pkt->fresh.nat_port = port;
  /* Packets of the answer never bear this tuple. */
  pkt->fresh.path[pkt->from_hi ? 1 : 0] = paths->there;
  err = bpf_map_update_elem(&weir_ct, &pkt->key, &pkt->fresh, BPF_NOEXIST);
  pkt->paths.inserted = err == 0;
  if (err) bpf_map_delete_elem(&weir_ct, &pkt->reply_key);
  return ct_insert_drop(err);
}

static __always_inline enum weir_drop ct_connect(struct packet* pkt) {
  if (pkt->paths.translate) return nat_connect(pkt);
  ct_init(pkt, &pkt->key, pkt->from_hi, &pkt->fresh);
  paths_store(pkt, &pkt->paths, &pkt->fresh);
  const long err = bpf_map_update_elem(&weir_ct, &pkt->key, &pkt->fresh, BPF_NOEXIST);
  pkt->paths.inserted = err == 0;
  return ct_insert_drop(err);
}

/* The tuple of a closed connection opens a new one: the old one's books are closed first. */
SHARED int ct_reopen(struct packet* pkt, struct weir_ct* old) {
  if (!pkt || !old) return 0;
  const __u32 state = READ_ONCE(old->state);
  if (state == WEIR_CT_DEAD ||
      __sync_val_compare_and_swap(&old->state, state, WEIR_CT_DEAD) != state)
    return 0;
  ct_event(pkt, old, WEIR_EVENT_ENDED);
  if (READ_ONCE(old->flags) & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY)) {
    struct weir_ct_key peer = old->peer;
    bpf_map_delete_elem(&weir_ct, &peer);
  }
  bpf_map_delete_elem(&weir_ct, &pkt->key);
  return 0;
}

/* The answer's half of a translated connection: its pod stands in the entry, not on the wire. */
static __always_inline enum weir_drop connect_nat_reply(struct packet* pkt, struct weir_ct* ct,
                                                        struct paths* paths) {
  /* Translated connections leave by NICs only; an answer from elsewhere is none. */
  if (pkt->in != WEIR_CT_IN_NET) return WEIR_DROP_SPOOFED;
  const struct weir_addr pod = ct->nat_addr;
  const enum endpoint_found found = endpoint_lookup(&pod, &pkt->dst_ep);
  if (found != ENDPOINT_FOUND)
    return found == ENDPOINT_RACE ? WEIR_DROP_RACE : WEIR_DROP_POD_UNKNOWN;
  path_to_endpoint(&paths->there, &pkt->dst_ep);
  return WEIR_DROP_NONE;
}

/* Fills pkt->paths; an enum weir_drop. reply: the entry of a translated connection's answer, or
 * NULL. */
SHARED int connect_decide(struct __sk_buff* skb, struct packet* pkt, struct weir_ct* reply) {
  if (!pkt) return WEIR_DROP_RACE;
  struct paths* paths = &pkt->paths;
  __builtin_memset(paths, 0, sizeof(*paths));
  paths->there.set = paths->back.set = 1;
  paths->there.in_ifindex = pkt->in;
  if (reply) return connect_nat_reply(pkt, reply, paths);
  struct ends ends;
  const enum weir_drop bad = ends_find(pkt, &ends);
  if (bad) return bad;
  switch (pkt->hook) {
    case WEIR_HOOK_FROM_POD:
      return connect_from_pod(skb, pkt, &ends, paths);
    case WEIR_HOOK_FROM_NET:
      return connect_from_net(skb, pkt, &ends, paths);
    default:
      return connect_to_pod(skb, pkt, &ends, paths);
  }
}

/* The entry of this packet: an older one with the paths of this epoch, or a new one. NULL: *bad. */
static __always_inline struct weir_ct* connect_entry(struct __sk_buff* skb, struct packet* pkt,
                                                     struct weir_ct* ct, enum weir_drop* bad) {
  if (ct) {
    paths_refresh(pkt, &pkt->paths, ct);
    return ct;
  }
  *bad = ct_connect(pkt);
  if (*bad) return NULL;
  ct = ct_lookup(&pkt->key);
  if (!ct) *bad = WEIR_DROP_RACE;
  if (ct && pkt->paths.inserted) event_new(skb, pkt, ct, pkt->paths.there.out);
  return ct;
}

/* The body of both CONNECT stages. */
static __always_inline int connect(struct __sk_buff* skb, struct packet* pkt, bool ingress) {
  struct weir_ct* ct = NULL;
  if (pkt->flags & (PACKET_STALE | PACKET_REOPEN)) ct = ct_lookup(&pkt->key);
  const bool reopen = ct && (pkt->flags & PACKET_REOPEN);
  const bool reply = ct && !reopen && (READ_ONCE(ct->flags) & WEIR_CT_NAT_REPLY);
  enum weir_drop bad = connect_decide(skb, pkt, reply ? ct : NULL);
  if (bad) return drop(skb, pkt, bad);
  const struct weir_ct_path* there = &pkt->paths.there;
  /* What the network sends to this host is the stack's, without an entry; so is what it answers. */
  if ((!ct || reopen) && ((pkt->hook == WEIR_HOOK_FROM_NET && there->out == WEIR_OUT_HOST) ||
                          stack_answers(pkt, there, ingress)))
    return to_stack(skb, pkt);
  /* Only who may open the new connection ends the old one. */
  if (reopen) {
    ct_reopen(pkt, ct);
    ct = NULL;
  }
  ct = connect_entry(skb, pkt, ct, &bad);
  if (!ct) return drop(skb, pkt, bad);
  return deliver(skb, pkt, ct, ct_id(&pkt->key), there, ingress);
}
