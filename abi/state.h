#pragma once

#include "abi/layout.h"

/* Map weir_state, one element, mapped into the agent: what every packet reads first. */
struct weir_state {
  __u64 epoch;          /* bumped by the agent after each batch of writes */
  __u32 capture_on;     /* a capture wants packets */
  __u32 wake;           /* the agent sleeps: the next event wakes it and clears this */
  __u32 tunnel_ifindex; /* 0: none */
  __u32 moving;         /* programs move between TCX and clsact: a packet may meet both */
  __u64 netns;          /* cookie of this node's network namespace */
};
WEIR_LAYOUT(weir_state, 32);
