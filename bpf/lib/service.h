/* Service -> backend. The one truth for packets and for sockets: which row, which set, which
 * backend, and whether a backend still belongs to a set. */
#pragma once

#include "abi/rendezvous.h"
#include "abi/service.h"
#include "lib/addr.h"

/* What clients address -> the Service port. Written and deleted by the agent. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 262144);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct weir_service_key);
  __type(value, struct weir_service);
} weir_service SEC(".maps");

/* Set -> extent. Written by the agent through its mapping. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 262144);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct weir_set);
} weir_set SEC(".maps");

/* Extents of all sets. Written by the agent through its mapping. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1048576);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct weir_backend);
} weir_backend SEC(".maps");

/* Set -> Maglev ring. Written by the agent through its mapping. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 262144);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct weir_ring);
} weir_ring SEC(".maps");

/* Slots of all rings: ring_max * (maglev_slots + 1) / 2 words. Written by the agent, mapped. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 2096896);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct weir_ring_slots);
} weir_ring_slot SEC(".maps");

/* Client and Service port -> backend. Written here; the oldest make room. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 65536);
  __type(key, struct weir_affinity_key);
  __type(value, struct weir_affinity);
} weir_affinity SEC(".maps");

/* Who may speak to a Service with source ranges. Written and deleted by the agent. */
struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct weir_srcrange_key);
  __type(value, __u32);
} weir_srcrange SEC(".maps");

/* Of whom a backend is asked for. */
struct service_client {
  const struct weir_addr* addr; /* zero: this node itself */
  __u32 hash;                   /* of the connection: picks the ring's slot */
  bool here;                    /* a pod or process of this node */
};

/* Copies the row of `key`; false: there is none. A recycled element shows a foreign key: once more.
 */
static __always_inline bool service_row(const struct weir_service_key* key,
                                        struct weir_service* out) {
  for (int i = 0; i < 2; i++) {
    const struct weir_service* found = bpf_map_lookup_elem(&weir_service, key);
    if (!found) return false;
    *out = *found;
    barrier();
    const struct weir_service_key now = *(const volatile struct weir_service_key*)&found->key;
    if (addr_equal(&now.vip, &key->vip) && now.port == key->port && now.proto == key->proto &&
        now.scope == key->scope)
      return true;
  }
  return false;
}

/* The address that stands for all of this node's, in the family of `addr`. */
static __always_inline struct weir_addr addr_any(const struct weir_addr* addr) {
  return addr_is_v4(addr) ? addr_v4(0) : (struct weir_addr){};
}

/* The row that serves vip:port for this client. this_node: vip is an address of this node; here: so
 * is the client. */
static __always_inline bool service_find(const struct weir_addr* vip, __be16 port, __u8 proto,
                                         bool this_node, bool here, struct weir_service* out) {
  struct weir_service_key key = {.vip = *vip, .port = port, .proto = proto};
  bool found = service_row(&key, out);
  if (!found && this_node) {
    key.vip = addr_any(vip);
    found = service_row(&key, out);
  }
  if (!found) return false;
  if (!here || !(out->flags & WEIR_SERVICE_TWO_SCOPES)) return true;
  key.scope = WEIR_SCOPE_CLUSTER;
  /* The row is on its way out: the other one serves meanwhile. */
  service_row(&key, out);
  return true;
}

/* vip is a ClusterIP without this port. */
static __always_inline bool service_has_other_ports(const struct weir_addr* vip) {
  const struct weir_service_key key = {.vip = *vip};
  struct weir_service row;
  return service_row(&key, &row);
}

static __always_inline bool service_admits(const struct weir_service* service,
                                           const struct weir_addr* client) {
  if (!(service->flags & WEIR_SERVICE_SOURCE_RANGES)) return true;
  const struct weir_srcrange_key key = {.prefixlen = 160, .service = service->id, .addr = *client};
  return bpf_map_lookup_elem(&weir_srcrange, &key) != NULL;
}

/* One word, so that offset and count belong together. */
static __always_inline struct weir_set service_set(__u32 set) {
  const struct weir_set* found = bpf_map_lookup_elem(&weir_set, &set);
  if (!found) return (struct weir_set){};
  const __u64 word = *(const volatile __u64*)found;
  return (struct weir_set){.offset = (__u32)word, .count = (__u32)(word >> 32)};
}

static __always_inline bool backend_at(__u32 index, __u32 set, struct weir_backend* out) {
  const struct weir_backend* found = bpf_map_lookup_elem(&weir_backend, &index);
  if (!found) return false;
  *out = *found;
  barrier();
  return READ_ONCE(found->set) == set;
}

#define SERVICE_SEARCH 21 /* halvings of the largest extent */

/* Is addr:port in the set? Its extent is sorted by address, then port. */
SHARED int service_has_backend(__u32 set, const struct weir_addr* addr, __u32 port_be) {
  if (!addr) return 0;
  const __be16 port = port_be;
  const struct weir_set extent = service_set(set);
  __u32 low = 0, high = extent.count;
  for (int i = 0; i < SERVICE_SEARCH && low < high; i++) {
    const __u32 middle = low + (high - low) / 2;
    struct weir_backend backend;
    if (!backend_at(extent.offset + middle, set, &backend)) return 0;
    int order = addr_compare(&backend.addr, addr);
    if (order == 0) order = (int)bpf_ntohs(backend.port) - (int)bpf_ntohs(port);
    if (order == 0) return 1;
    if (order < 0)
      low = middle + 1;
    else
      high = middle;
  }
  return 0;
}

static __always_inline __u32 seconds_now(void) {
  return (__u32)(bpf_ktime_get_coarse_ns() / 1000000000ULL);
}

/* The backend that this client stays with, if it still serves. */
static __always_inline bool affinity_find(const struct weir_service* service,
                                          const struct weir_addr* client,
                                          struct weir_backend* out) {
  const struct weir_affinity_key key = {.client = *client, .service = service->id};
  struct weir_affinity* found = bpf_map_lookup_elem(&weir_affinity, &key);
  if (!found) return false;
  const struct weir_affinity stays = *found;
  const __u32 now = seconds_now();
  if (now - stays.seen_s > service->affinity_s) return false;
  if (!service_has_backend(service->set, &stays.addr, stays.port)) return false;
  found->seen_s = now;
  out->addr = stays.addr;
  out->port = stays.port;
  return true;
}

static __always_inline void affinity_keep(const struct weir_service* service,
                                          const struct weir_addr* client,
                                          const struct weir_backend* backend) {
  const struct weir_affinity_key key = {.client = *client, .service = service->id};
  const struct weir_affinity value = {
      .addr = backend->addr, .port = backend->port, .seen_s = seconds_now()};
  bpf_map_update_elem(&weir_affinity, &key, &value, BPF_ANY);
}

#define RENDEZVOUS_CHUNK 16

/* Of the slots [first, first + RENDEZVOUS_CHUNK) of the extent the highest score, with what stands
 * for the slot in its lowest byte, or `best` when that is higher. In chunks, each a call, so that
 * the verifier looks at 16 slots instead of 128; a call for each slot (bpf_loop) takes three times
 * as long. */
SHARED __u64 rendezvous_chunk(struct weir_set* extent, __u32 first, __u32 flow, __u64 best) {
  if (!extent) return best;
  const __u32 offset = extent->offset, count = extent->count;
  for (__u32 step = 0; step < RENDEZVOUS_CHUNK; step++) {
    asm volatile("" : "+r"(step)); /* stays the loop's counter: its end is known */
    const __u32 i = first + step;
    if (i >= count) break;
    const __u32 index = offset + i;
    const struct weir_backend* backend = bpf_map_lookup_elem(&weir_backend, &index);
    if (!backend) break;
    const __u64 mine = ((__u64)weir_rendezvous(flow, backend->hash) << 8) | (255 - i);
    if (mine > best) best = mine;
  }
  return best;
}

/* The slot of the extent that scores highest for this flow, the first one of equals. */
static __always_inline __u32 rendezvous_slot(struct weir_set extent, __u32 flow) {
  __u64 best = 0;
  for (__u32 first = 0; first < WEIR_RENDEZVOUS_MAX && first < extent.count;
       first += RENDEZVOUS_CHUNK)
    best = rendezvous_chunk(&extent, first, flow, best);
  return extent.offset + 255 - (__u32)(best & 255);
}

/* By the Maglev ring of a large set. */
static __always_inline bool ring_pick(__u32 set, __u32 hash, struct weir_backend* out) {
  const struct weir_ring* found = bpf_map_lookup_elem(&weir_ring, &set);
  if (!found || !cfg.maglev_slots) return false;
  const __u64 word = *(const volatile __u64*)found;
  if ((__u32)(word >> 32) != set) return false;
  const __u32 slot = hash % cfg.maglev_slots;
  const __u32 at = (__u32)word + slot / 2;
  const struct weir_ring_slots* slots = bpf_map_lookup_elem(&weir_ring_slot, &at);
  if (!slots) return false;
  return backend_at(slot & 1 ? READ_ONCE(slots->backend[1]) : READ_ONCE(slots->backend[0]), set,
                    out);
}

/* By chance. An extent that moved meanwhile is read again. */
static __always_inline bool random_pick(__u32 set, struct weir_backend* out) {
  for (int i = 0; i < 3; i++) {
    const struct weir_set extent = service_set(set);
    if (!extent.count) return false;
    const __u32 index = ((__u64)bpf_get_prandom_u32() * extent.count) >> 32;
    if (backend_at(extent.offset + index, set, out)) return true;
  }
  return false;
}

/* The same backend on every node. */
static __always_inline bool steady_pick(__u32 set, __u32 hash, struct weir_backend* out) {
  const struct weir_set extent = service_set(set);
  if (extent.count > WEIR_RENDEZVOUS_MAX) return ring_pick(set, hash, out);
  return extent.count && backend_at(rendezvous_slot(extent, hash), set, out);
}

/* A backend for a new connection; false: the Service has none. */
static __always_inline bool service_select(const struct weir_service* service,
                                           const struct service_client* client,
                                           struct weir_backend* out) {
  if (service->affinity_s && affinity_find(service, client->addr, out)) return true;
  const bool steady = (service->flags & WEIR_SERVICE_RING) && !client->here;
  if (!(steady && steady_pick(service->set, client->hash, out)) && !random_pick(service->set, out))
    return false;
  if (service->affinity_s) affinity_keep(service, client->addr, out);
  return true;
}
