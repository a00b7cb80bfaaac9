// What one lookup in the connection table costs, by key and by where the hot fields of the value
// lie. The loader sets sizes, flags and the constants below; the key of flow n is computed, so that
// only the table itself is cold.
#include "doubt.bpf.h"

enum { KEY_FULL40, KEY_V4_16, KEY_HASH16 };

struct config {
  __u32 key_kind;
  __u32 flow_mask;  // flows looked up: a power of two, less one
  __u32 paths_at, path_step, packets_at, bytes_at, counts_step;  // in u64 of the value
};
const volatile struct config cfg = {.path_step = 1};
__u64 state = 88172645463325252ULL;
__u64 epoch = 1;
__u64 sink;

struct key {
  __u64 word[5];
};
struct value {
  __u64 word[32];
};

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(key_size, 40);
  __uint(value_size, 256);
  __uint(max_entries, 1);
} table SEC(".maps");

static __always_inline __u64 mix(__u64 h, __u64 v, __u64 m) {
  h = (h ^ v) * m;
  return h ^ (h >> 29);
}

static __always_inline void make_key(struct key* k, __u32 n) {
  __u64 ports = 0xbb01000000000000ULL | n;
  if (cfg.key_kind == KEY_V4_16) {
    k->word[0] = ((__u64)(0x0a000000u + n * 7) << 32) | 0x0a010203u;
    k->word[1] = ports << 16 | 6;
    return;
  }
  k->word[0] = 0;
  k->word[1] = ((__u64)(0x0a000000u + n * 7) << 32) | 0xffff0000u;
  k->word[2] = 0;
  k->word[3] = ((__u64)0x0a010203u << 32) | 0xffff0000u;
  k->word[4] = ports << 16 | 6;
  if (cfg.key_kind == KEY_HASH16) {
    __u64 a = 0x9e3779b97f4a7c15ULL, b = 0xc2b2ae3d27d4eb4fULL;
    for (int i = 0; i < 5; i++) {
      a = mix(a, k->word[i], 0xff51afd7ed558ccdULL);
      b = mix(b, k->word[i] ^ a, 0xc4ceb9fe1a85ec53ULL);
    }
    k->word[0] = a;
    k->word[1] = b;
  }
}

static __always_inline __u64 next_random(void) {
  __u64 x = state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  state = x;
  return x;
}

static __always_inline int use(struct value* v, int way, __u64 now) {
  __u64* w = v->word;
  if (w[0] != 0x1d || w[1] != epoch) return 1;
  if ((__u32)w[2] != 1) return 2;
  if ((w[2] >> 32) != now) *((__u32*)&w[2] + 1) = (__u32)now;
  __u64 path = 0;
  __u64* p = w + cfg.paths_at + (way ? cfg.path_step : 0);
  for (int i = 0; i < 5; i++) path += p[i];
  sink = path + w[3];
  __u64* c = w + (way ? cfg.counts_step : 0);
  __sync_fetch_and_add(c + cfg.packets_at, 1);
  __sync_fetch_and_add(c + cfg.bytes_at, 100);
  return 0;
}

SEC("tc")
int only_key(struct __sk_buff* skb) {
  struct key k = {};
  __u64 r = next_random();
  make_key(&k, (__u32)r & cfg.flow_mask);
  sink = k.word[0] + k.word[1] + k.word[2] + k.word[3] + k.word[4];
  return 0;
}

SEC("tc")
int lookup(struct __sk_buff* skb) {
  struct key k = {};
  __u64 r = next_random();
  make_key(&k, (__u32)r & cfg.flow_mask);
  struct value* v = bpf_map_lookup_elem(&table, &k);
  return v ? use(v, (r >> 40) & 1, (__u32)bpf_jiffies64()) : 3;
}

SEC("tc")
int insert_delete(struct __sk_buff* skb) {
  struct key k = {};
  struct value v = {};
  make_key(&k, 0x40000000u | ((__u32)next_random() & 0xffffff));
  long err = bpf_map_update_elem(&table, &k, &v, BPF_NOEXIST);
  return err ? 4 : (int)bpf_map_delete_elem(&table, &k);
}

// Fills the table with flows 0..flow_mask, one per run.
__u32 filled;
SEC("tc")
int fill(struct __sk_buff* skb) {
  struct key k = {};
  struct value v = {.word = {0x1d, 1, 1}};
  make_key(&k, filled++);
  return bpf_map_update_elem(&table, &k, &v, BPF_NOEXIST) ? 5 : 0;
}

char _license[] SEC("license") = "GPL";
