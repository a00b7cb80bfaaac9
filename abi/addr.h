#pragma once

#include "abi/layout.h"

/* Network order; IPv4 is stored v4-mapped: ::ffff:a.b.c.d. */
struct weir_addr {
  __be32 word[4];
};
WEIR_LAYOUT(weir_addr, 16);

#define WEIR_V4_MAPPED 0x0000ffffU /* word[2] of a v4-mapped address, host order */
