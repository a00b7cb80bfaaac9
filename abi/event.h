#pragma once

#include "abi/addr.h"
#include "abi/drops.h"
#include "abi/hooks.h"

/* Ring buffer weir_events, and (ENDED only) what the sweep's iterator writes. */
enum weir_event_type {
  WEIR_EVENT_NEW = 1,         /* first packet of a connection was let through */
  WEIR_EVENT_ESTABLISHED = 2, /* both sides have spoken; duration_ns: the time it took */
  WEIR_EVENT_CLOSED = 3,      /* TCP: both FINs or a RST were seen; counts up to now */
  WEIR_EVENT_ENDED = 4,       /* entry left the table; final counts */
  WEIR_EVENT_DROP = 5,
  WEIR_EVENTS = 6,
};

enum weir_event_flag {
  WEIR_EVENT_BY_RESPONDER = 1, /* CLOSED: the responder sent the first FIN or the RST */
  WEIR_EVENT_RESET = 2,        /* CLOSED: by RST */
  WEIR_EVENT_SEEN_CLOSED = 4,  /* ENDED: a CLOSED event came before */
  WEIR_EVENT_REPLIED = 8,      /* ENDED: the responder has spoken */
};

/* src/dst: for connections opener -> responder, for drops as the packet came in; before
 * translation. ICMP: src_port = identifier (echo), dst_port = type << 8 | code, both big endian. */
struct weir_event {
  __u64 time_ns; /* CLOCK_MONOTONIC */
  struct weir_addr src;
  struct weir_addr dst;
  __be16 src_port;
  __be16 dst_port;
  __u8 proto;
  __u8 type;                 /* enum weir_event_type */
  __u8 hook;                 /* enum weir_hook */
  __u8 reason;               /* enum weir_drop */
  struct weir_addr nat_addr; /* source after translation; zero: the same */
  __be16 nat_port;
  __u8 out; /* enum weir_out, of the opener's direction */
  __u8 flags;
  __u32 ifindex;       /* link the packet came in by, or will leave by at an egress hook */
  __u32 length;        /* of the packet */
  __u32 kernel_reason; /* reason KERNEL: enum skb_drop_reason of this kernel */
  __u64 duration_ns;
  __u64 packets[2];         /* [0]: from the opener, [1]: from the responder */
  __u64 bytes[2];           /* counted from the IP header on */
  struct weir_addr to_addr; /* destination after translation: the backend; zero: the same */
  __be16 to_port;
  __u16 pad2;
  __u32 service; /* weir_service.id; 0: none */
};
WEIR_LAYOUT(weir_event, 144);
