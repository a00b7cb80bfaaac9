#pragma once

#include "abi/addr.h"

/* What a socket has addressed, and the backend that it was given. In storage of the socket itself:
 * it ends with it. */
struct weir_sock_flow {
  struct weir_addr vip;
  struct weir_addr backend;
  __be16 vip_port;     /* 0: nothing is kept here */
  __be16 backend_port; /* 0: the packet path translates this one */
  __u32 seen;          /* jiffies of the last datagram; TCP: 0 */
  __u32 service;       /* weir_service.id */
  __u32 pad;
};
WEIR_LAYOUT(weir_sock_flow, 48);

/* Map weir_sock_tcp: struct weir_sock_flow, of a translated connection.
 * Map weir_sock_udp: of an unconnected socket, whose answers come from several. */
#define WEIR_SOCK_FLOWS 4

struct weir_sock_flows {
  struct weir_sock_flow flow[WEIR_SOCK_FLOWS];
};
WEIR_LAYOUT(weir_sock_flows, 48 * WEIR_SOCK_FLOWS);

/* Map weir_sock_gone, hash: addresses of pods that are gone -> 1. Capacity. */
#define WEIR_SOCK_GONE 256
