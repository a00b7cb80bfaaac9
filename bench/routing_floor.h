/* What routing_floor tells its programs. */
#pragma once

#include <linux/types.h>

struct way {
  __u32 ifindex;
  __u8 to[6], from[6];
};
