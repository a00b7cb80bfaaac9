#pragma once

#include "abi/addr.h"

/* A Service port as clients address it (a row), the backends that they may get (a set), and what is
 * remembered of them. IPv4 and IPv6 of one Service are two Service ports. All maps are written by
 * the agent, but weir_affinity. */

/* The zero address of either family (::ffff:0.0.0.0, ::) stands for any address of this node. */
enum weir_service_scope {
  WEIR_SCOPE_ANY = 0,     /* for all clients that have no row of their own */
  WEIR_SCOPE_CLUSTER = 1, /* for this node's own pods and processes; looked for when the ANY row
                           * says so */
};

/* Map weir_service, hash: what a client addresses -> the Service port behind it. port 0 with proto
 * 0: the other ports of a ClusterIP. */
struct weir_service_key {
  struct weir_addr vip;
  __be16 port;
  __u8 proto;
  __u8 scope; /* enum weir_service_scope */
};
WEIR_LAYOUT(weir_service_key, 20);

enum weir_service_flag {
  WEIR_SERVICE_TWO_SCOPES = 1,    /* a CLUSTER row exists as well */
  WEIR_SERVICE_EXTERNAL = 2,      /* clients outside the cluster are meant, too */
  WEIR_SERVICE_LOCAL = 4,         /* traffic policy Local: the set has this node's backends only */
  WEIR_SERVICE_SOURCE_RANGES = 8, /* only clients that weir_srcrange knows */
  WEIR_SERVICE_OTHER_PORTS = 16,  /* there is no such port: reject */
  WEIR_SERVICE_RING = 32,         /* clients outside get the same backend on every node */
  WEIR_SERVICE_DSR = 64,          /* remote backends answer clients outside directly */
  WEIR_SERVICE_HOST_PORT = 128,   /* a pod's hostPort */
};

/* `key` repeats the row's own key: an element may be recycled under a reader. */
struct weir_service {
  struct weir_service_key key;
  __u32 id;         /* of the Service port, shared by its rows; never 0 */
  __u32 set;        /* index in weir_set */
  __u32 flags;      /* enum weir_service_flag */
  __u32 affinity_s; /* sessionAffinity ClientIP; 0: none */
  __u32 local_set;  /* the backends on this node: `set` itself, or, with DSR, for what other nodes
                     * hand over; 0: it names none */
  __u32 spare[2];
};
WEIR_LAYOUT(weir_service, 48);

/* Map weir_set, array, mapped into the agent: set -> its extent in weir_backend. Read and written
 * as one 64-bit word: that flips a Service to a new extent, written before. */
struct weir_set {
  __u32 offset;
  __u32 count; /* 0: no backends */
};
WEIR_LAYOUT(weir_set, 8);

/* Map weir_ring, array, mapped into the agent: set -> what its Maglev ring is. Only sets of more
 * than WEIR_RENDEZVOUS_MAX slots have one (abi/rendezvous.h). */
struct weir_ring {
  __u32 offset; /* first word of weir_ring_slot, of (cfg.maglev_slots + 1) / 2 words */
  __u32 set;    /* 0: this ring is not there (yet) */
};
WEIR_LAYOUT(weir_ring, 8);

/* Map weir_ring_slot, array, mapped into the agent: two slots a word; a slot is an index in
 * weir_backend. A ring is rewritten in place, slot by slot, after its set was flipped: until then a
 * slot leads into the old extent, which still rests. */
struct weir_ring_slots {
  __u32 backend[2];
};
WEIR_LAYOUT(weir_ring_slots, 8);

enum weir_backend_flag {
  WEIR_BACKEND_THIS_NODE = 1,
};

/* Map weir_backend, array, mapped into the agent; index 0 is never used. A set's extent is sorted
 * by address (as bytes), then port; a backend of weight n stands there n times. An extent that a
 * set has left is not written again for a second. */
struct weir_backend {
  struct weir_addr addr;
  __be16 port;
  __u8 flags; /* enum weir_backend_flag */
  __u8 pad;
  __u32 set;  /* that the extent belongs to, compared after the copy */
  __u32 hash; /* of address, port, and which of the n slots this is: abi/rendezvous.h */
  __u32 spare;
};
WEIR_LAYOUT(weir_backend, 32);

/* Map weir_affinity, LRU hash, written by the packet path and the socket hooks. */
struct weir_affinity_key {
  struct weir_addr client; /* zero: this node itself */
  __u32 service;           /* weir_service.id */
  __u32 pad;
};
WEIR_LAYOUT(weir_affinity_key, 24);

struct weir_affinity {
  struct weir_addr addr; /* of the backend */
  __be16 port;
  __u16 pad;
  __u32 seen_s; /* seconds of CLOCK_MONOTONIC, of the last connection */
};
WEIR_LAYOUT(weir_affinity, 24);

/* Map weir_srcrange, LPM: (Service port, client) -> 1. prefixlen = 32 + bits of the v4-mapped CIDR.
 */
struct weir_srcrange_key {
  __u32 prefixlen;
  __u32 service; /* weir_service.id */
  struct weir_addr addr;
};
WEIR_LAYOUT(weir_srcrange_key, 24);

/* Map weir_netns, hash: cookie of a pod's network namespace -> who that is. */
struct weir_netns {
  struct weir_addr v4; /* zero: none */
  struct weir_addr v6;
};
WEIR_LAYOUT(weir_netns, 32);
