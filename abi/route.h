#pragma once

#include "abi/addr.h"

/* What lies behind an address that is no pod of this node. */
enum weir_route_kind {
  WEIR_ROUTE_OUTSIDE = 0,    /* the world; also without an entry */
  WEIR_ROUTE_LOCAL_PODS = 1, /* this node's pod range: an address without endpoint is unknown */
  WEIR_ROUTE_HOST = 2,       /* an address of this node itself */
  WEIR_ROUTE_PODS = 3,       /* another node's pod range */
  WEIR_ROUTE_NODE = 4,       /* an address of another node */
  WEIR_ROUTE_SERVICES = 5,   /* the range of ClusterIPs: who is not in weir_service is nobody */
};

enum weir_route_flag {
  WEIR_ROUTE_KEEP_SOURCE = 1, /* OUTSIDE: connections to it are not masqueraded */
};

/* Packets for a Service, untranslated, to the node of the backend travel in a network identifier of
 * their own: cfg.tunnel_vni plus this. */
#define WEIR_VNI_DSR 1

/* Map weir_route: longest prefix over the 128-bit v4-mapped space (an IPv4 /24 has prefixlen 120).
 */
struct weir_route_key {
  __u32 prefixlen;
  struct weir_addr addr;
};
WEIR_LAYOUT(weir_route_key, 20);

struct weir_route {
  struct weir_addr node_addr; /* PODS, NODE: the node's underlay address: tunnel end or next hop */
  __u32 version;
  __u32 node; /* index of the node, for events */
  __u8 kind;  /* enum weir_route_kind */
  __u8 flags; /* enum weir_route_flag */
  __u16 mtu;  /* PODS, NODE: what the way to the node takes of a packet, without the tunnel's own
               * headers; 0: what this node's link takes */
  __u8 pad[4];
};
WEIR_LAYOUT(weir_route, 32);
