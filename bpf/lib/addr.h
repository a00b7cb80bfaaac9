#pragma once

#include "abi/addr.h"
#include "lib/kernel.h"

static __always_inline struct weir_addr addr_v4(__be32 v4) {
  return (struct weir_addr){.word = {0, 0, bpf_htonl(WEIR_V4_MAPPED), v4}};
}

static __always_inline bool addr_is_v4(const struct weir_addr* a) {
  return a->word[2] == bpf_htonl(WEIR_V4_MAPPED) && (a->word[0] | a->word[1]) == 0;
}

static __always_inline bool addr_equal(const struct weir_addr* a, const struct weir_addr* b) {
  return ((a->word[0] ^ b->word[0]) | (a->word[1] ^ b->word[1]) | (a->word[2] ^ b->word[2]) |
          (a->word[3] ^ b->word[3])) == 0;
}

static __always_inline bool addr_is_zero(const struct weir_addr* a) {
  return (a->word[0] | a->word[1] | a->word[2] | a->word[3]) == 0;
}

/* Order by bytes, as memcmp would: <0, 0, >0. */
static __always_inline int addr_compare(const struct weir_addr* a, const struct weir_addr* b) {
  const __u64 a_hi = (__u64)bpf_ntohl(a->word[0]) << 32 | bpf_ntohl(a->word[1]);
  const __u64 b_hi = (__u64)bpf_ntohl(b->word[0]) << 32 | bpf_ntohl(b->word[1]);
  if (a_hi != b_hi) return a_hi < b_hi ? -1 : 1;
  const __u64 a_lo = (__u64)bpf_ntohl(a->word[2]) << 32 | bpf_ntohl(a->word[3]);
  const __u64 b_lo = (__u64)bpf_ntohl(b->word[2]) << 32 | bpf_ntohl(b->word[3]);
  return a_lo == b_lo ? 0 : a_lo < b_lo ? -1 : 1;
}

/* Multicast or limited broadcast: no business of a routed link. */
static __always_inline bool addr_is_multicast(const struct weir_addr* a) {
  const __u32 last = bpf_ntohl(a->word[3]);
  if (addr_is_v4(a)) return last >> 28 == 14 || last == 0xffffffff;
  return (bpf_ntohl(a->word[0]) >> 24) == 0xff;
}
