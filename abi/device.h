#pragma once

#include "abi/addr.h"

#define WEIR_DEVICES 64 /* capacity of the map */

/* Map weir_device: ifindex -> a link of this node by which packets leave. */
struct weir_device {
  struct weir_addr v4; /* source of translated connections; zero: none */
  struct weir_addr v6;
  __u32 mtu; /* of what is put in: the tunnel's is less its own headers */
  __u32 pad;
};
WEIR_LAYOUT(weir_device, 40);
