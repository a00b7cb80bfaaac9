#pragma once

#include "abi/addr.h"

#define WEIR_CAPTURE_SNAP 2048 /* most bytes of one packet */

/* Map weir_capture_f, one element: which packets are captured. Zero fields match all. Addresses and
 * ports match in either direction: {addr, port} is one end of the packet, {peer, peer_port} the
 * other. */
struct weir_capture_filter {
  struct weir_addr addr;
  struct weir_addr addr_other; /* of the same end: a pod has one address per family */
  struct weir_addr peer;
  __be16 port;
  __be16 peer_port;
  __u8 proto;
  __u8 enabled;
  __u16 snap;    /* bytes to keep, at most WEIR_CAPTURE_SNAP */
  __u32 ifindex; /* host side of a pod's link; 0: any */
  __u8 capture;  /* each has another number than the last ones */
  __u8 pad[3];
};
WEIR_LAYOUT(weir_capture_filter, 64);

/* Ring buffer weir_capture: this header, then `captured` bytes from the Ethernet header on, as the
 * packet leaves the hook. */
struct weir_captured {
  __u64 time_ns; /* CLOCK_MONOTONIC */
  __u32 length;  /* of the packet */
  __u32 captured;
  __u32 ifindex;
  __u8 hook;
  __u8 out;     /* enum weir_out */
  __u8 reason;  /* enum weir_drop */
  __u8 capture; /* weir_capture_filter.capture at that time */
};
WEIR_LAYOUT(weir_captured, 24);
