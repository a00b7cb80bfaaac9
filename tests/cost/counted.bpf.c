/* The programs as they are, but that each access of a map counts, by the map's id. */
#include "lib/kernel.h"

struct bpf_map {
  __u32 id;
} __attribute__((preserve_access_index));

#define COST_MAPS 4096 /* ids are taken modulo this */

struct cost {
  __u64 lookups;
  __u64 writes;
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, COST_MAPS);
  __type(key, __u32);
  __type(value, struct cost);
} weir_cost SEC(".maps");

static __always_inline struct cost* cost_of(void* map) {
  const __u32 at = ((struct bpf_map*)map)->id % COST_MAPS;
  return bpf_map_lookup_elem(&weir_cost, &at);
}

static __always_inline void* counted_lookup(void* map, const void* key) {
  struct cost* cost = cost_of(map);
  if (cost) cost->lookups++;
  return bpf_map_lookup_elem(map, key);
}

static __always_inline long counted_update(void* map, const void* key, const void* value,
                                           __u64 flags) {
  struct cost* cost = cost_of(map);
  if (cost) cost->writes++;
  return bpf_map_update_elem(map, key, value, flags);
}

static __always_inline long counted_delete(void* map, const void* key) {
  struct cost* cost = cost_of(map);
  if (cost) cost->writes++;
  return bpf_map_delete_elem(map, key);
}

#define bpf_map_lookup_elem(map, key) counted_lookup(map, key)
#define bpf_map_update_elem(map, key, value, flags) counted_update(map, key, value, flags)
#define bpf_map_delete_elem(map, key) counted_delete(map, key)

#include "weir.bpf.c"
