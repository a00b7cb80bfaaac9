#pragma once

#include "abi/addr.h"

#define WEIR_MAC_LEN 6

/* The host side of every pod link has this address: the pods' gateway. */
#define WEIR_LINK_MAC {0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
/* Of every node's tunnel device; it drops frames that bear it as their source. */
#define WEIR_TUNNEL_MAC {0xee, 0xee, 0xee, 0xee, 0xee, 0x01}

/* Map weir_endpoint: address of a pod on this node -> how to reach it. Key: struct weir_addr.
 * An element may be recycled under a reader: `id` repeats the key, comes first, and is compared
 * after the copy. */
struct weir_endpoint {
  struct weir_addr id;
  __u32 handle;        /* of the sandbox on this node; both addresses of a pod share it */
  __u32 version;       /* changes with owner, rule sets, interface */
  __u32 ifindex;       /* host side of the pod's link */
  __u32 ingress_rules; /* rule set, 0: none */
  __u32 egress_rules;
  __u8 mac[WEIR_MAC_LEN]; /* pod side of the link */
  __u8 queued; /* packets to it have to pass the link's queueing discipline, which limits them */
  __u8 pad[5];
};
WEIR_LAYOUT(weir_endpoint, 48);
