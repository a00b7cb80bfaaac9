#pragma once

#include "abi/addr.h"

/* Map weir_frag: a datagram's fragments -> the ports that its first one carried,
 * and which bytes have come. Its entries are
 * made before the source is judged: `in` keeps apart what different links bring. */
struct weir_frag_key {
  struct weir_addr src;
  struct weir_addr dst;
  __be32 id;
  __u32 in;   /* as weir_ct_path.in_ifindex */
  __u8 proto; /* IPv6: 0, the identifier is of both addresses alone */
  __u8 pad[3];
};
WEIR_LAYOUT(weir_frag_key, 44);

#define WEIR_FRAG_WORDS 128 /* a bit for each 8 bytes of 64 KiB */

struct weir_frag {
  __be16 src_port;
  __be16 dst_port;
  __u8 proto; /* of the transport; later IPv6 fragments need not tell */
  __u8 pad[3];
  __u64 seen[WEIR_FRAG_WORDS]; /* which bytes have come */
};
WEIR_LAYOUT(weir_frag, 8 + 8 * WEIR_FRAG_WORDS);
