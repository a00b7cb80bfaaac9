// What it costs to read a global epoch before each connection lookup, by where the epoch lives.
#include "doubt.bpf.h"

struct key40 {
  __u64 word[5];
};
struct key16 {
  __u64 word[2];
};
struct connection {
  __u64 id, epoch;
  __u32 state, seen, version[2];
  __u64 rest[25];
};
struct endpoint {
  __u32 version, rest[11];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __type(key, struct key40);
  __type(value, struct connection);
  __uint(max_entries, 65536);
} connections SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __type(key, struct key16);
  __type(value, struct endpoint);
  __uint(max_entries, 1024);
} endpoints SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __type(key, __u32);
  __type(value, __u64);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
} epoch_map SEC(".maps");

volatile __u64 epoch_global SEC(".data.epoch") = 1;
__u64 sink;

static __always_inline struct connection* find(void) {
  struct key40 k = {.word = {1, 2, 3, 4, 5}};
  return bpf_map_lookup_elem(&connections, &k);
}

static __always_inline int finish(struct connection* c) {
  if (c->id != 0x1d || c->state != 1) return 2;
  sink = c->rest[0];
  return 0;
}

static __always_inline int version_of(__u64 last, __u32 expect) {
  struct key16 k = {.word = {1, last}};
  struct endpoint* e = bpf_map_lookup_elem(&endpoints, &k);
  return e && e->version == expect;
}

SEC("tc")
int setup(struct __sk_buff* skb) {
  struct key40 k = {.word = {1, 2, 3, 4, 5}};
  struct connection c = {.id = 0x1d, .epoch = 1, .state = 1, .version = {7, 7}};
  struct endpoint e = {.version = 7};
  struct key16 a = {.word = {1, 1}}, b = {.word = {1, 2}};
  __u64 one = 1;
  __u32 zero = 0;
  return bpf_map_update_elem(&connections, &k, &c, BPF_ANY) ||
         bpf_map_update_elem(&endpoints, &a, &e, BPF_ANY) ||
         bpf_map_update_elem(&endpoints, &b, &e, BPF_ANY) ||
         bpf_map_update_elem(&epoch_map, &zero, &one, BPF_ANY);
}

SEC("tc")
int none(struct __sk_buff* skb) {
  struct connection* c = find();
  return c ? finish(c) : 3;
}

SEC("tc")
int by_global(struct __sk_buff* skb) {
  __u64 epoch = epoch_global;
  struct connection* c = find();
  if (!c) return 3;
  return c->epoch == epoch ? finish(c) : 4;
}

SEC("tc")
int by_array(struct __sk_buff* skb) {
  __u32 zero = 0;
  __u64* slot = bpf_map_lookup_elem(&epoch_map, &zero);
  if (!slot) return 5;
  __u64 epoch = *(volatile __u64*)slot;
  struct connection* c = find();
  if (!c) return 3;
  return c->epoch == epoch ? finish(c) : 4;
}

// The epoch has moved: the stamped versions of both endpoints are compared, the entry is stamped
// anew.
SEC("tc")
int restamp(struct __sk_buff* skb) {
  __u64 epoch = epoch_global;
  struct connection* c = find();
  if (!c) return 3;
  if (!version_of(1, c->version[0]) || !version_of(2, c->version[1])) return 4;
  *(volatile __u64*)&c->epoch = epoch;
  return finish(c);
}

char _license[] SEC("license") = "GPL";
