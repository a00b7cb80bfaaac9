#pragma once

#include "abi/device.h"
#include "abi/endpoint.h"
#include "abi/route.h"
#include "abi/state.h"
#include "lib/addr.h"

/* One element, written by the agent through its mapping. The epoch is read before any other map. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, __u32);
  __type(value, struct weir_state);
} weir_state SEC(".maps");

/* Pod address -> endpoint. Written and deleted by the agent. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, struct weir_addr);
  __type(value, struct weir_endpoint);
} weir_endpoint SEC(".maps");

/* CIDR -> what lies behind it. Written and deleted by the agent. */
struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 16384);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct weir_route_key);
  __type(value, struct weir_route);
} weir_route SEC(".maps");

/* Address -> CLOCK_MONOTONIC ns when its pod or node was gone: TCP that was opened before is over.
 * Written by the agent; the oldest make room. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, struct weir_addr);
  __type(value, __u64);
} weir_gone SEC(".maps");

/* ifindex -> link by which packets leave. Written and deleted by the agent. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_DEVICES);
  __type(key, __u32);
  __type(value, struct weir_device);
} weir_device SEC(".maps");

static __always_inline struct weir_state* state_get(void) {
  const __u32 zero = 0;
  return bpf_map_lookup_elem(&weir_state, &zero);
}

/* While programs move between TCX and clsact, a packet that the first leaves to the stack meets the
 * second at the same hook of the same link: whether it has been judged there. A mark would outlast
 * the hook; the control block is the next layer's. */
static __always_inline bool is_met_again(struct __sk_buff* skb, const struct weir_state* state,
                                         bool ingress) {
  const __u32 weir = 0x77656972;
  if (!READ_ONCE(state->moving)) return false;
  const __u32 here = skb->ifindex << 1 | ingress;
  if (skb->cb[0] == weir && skb->cb[1] == here) return true;
  skb->cb[0] = weir;
  skb->cb[1] = here;
  return false;
}

enum endpoint_found { ENDPOINT_NONE, ENDPOINT_FOUND, ENDPOINT_RACE };

/* Copies the endpoint of `addr`. A recycled element shows a foreign id: look once more, then RACE.
 */
static __always_inline enum endpoint_found endpoint_lookup(const struct weir_addr* addr,
                                                           struct weir_endpoint* out) {
  for (int i = 0; i < 2; i++) {
    const struct weir_endpoint* found = bpf_map_lookup_elem(&weir_endpoint, addr);
    if (!found) return ENDPOINT_NONE;
    *out = *found;
    barrier();
    const struct weir_addr id = *(const volatile struct weir_addr*)&found->id;
    if (addr_equal(&id, addr)) return ENDPOINT_FOUND;
  }
  return ENDPOINT_RACE;
}

/* Copies the route of `addr`; false: there is none, which means OUTSIDE. The trie frees its nodes
 * by RCU: no foreign values. */
static __always_inline bool route_lookup(const struct weir_addr* addr, struct weir_route* out) {
  const struct weir_route_key key = {.prefixlen = 128, .addr = *addr};
  const struct weir_route* found = bpf_map_lookup_elem(&weir_route, &key);
  if (!found) return false;
  *out = *found;
  return true;
}

static __always_inline const struct weir_device* device_lookup(__u32 ifindex) {
  return bpf_map_lookup_elem(&weir_device, &ifindex);
}
