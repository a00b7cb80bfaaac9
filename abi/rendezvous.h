#pragma once

#include "abi/layout.h"

/* How clients outside get the same backend on every node. Of the set's slots the one with the
 * highest score for this flow wins, so that only the flows of a lost backend move
 * (docs/decisions/0031-rendezvous-and-maglev.md). Larger sets have a Maglev ring instead. */
#define WEIR_RENDEZVOUS_MAX 128 /* slots of a set: the loop of a packet */

/* flow: hash of the connection; slot: weir_backend.hash. */
static inline __u32 weir_rendezvous(__u32 flow, __u32 slot) {
  __u64 x = (__u64)(flow ^ slot) * 0x9e3779b97f4a7c15ULL;
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ULL;
  return (__u32)(x >> 32);
}
