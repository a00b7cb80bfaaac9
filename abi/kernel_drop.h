#pragma once

#include "abi/layout.h"

/* Packets of this node's pods that the kernel itself drops (bpf/kernel_drop.bpf.c), by its own
 * reasons: enum skb_drop_reason, whose numbers are those of the running kernel.
 * Map weir_kdrop, array per CPU: reason -> struct weir_metric.
 * Map weir_kdrop_pod, hash per CPU: struct weir_kernel_drop -> struct weir_metric, of pods that
 * there are. */
#define WEIR_KERNEL_REASONS 256

struct weir_kernel_drop {
  __u32 pod; /* weir_endpoint.handle */
  __u32 reason;
};
WEIR_LAYOUT(weir_kernel_drop, 8);

enum weir_kernel_reason {
  WEIR_KERNEL_COUNTED = 0,
  WEIR_KERNEL_LEFT_OUT = 1, /* no loss */
  WEIR_KERNEL_BY_TC = 2,    /* by a program on a link: counted where it is not Weir's */
  WEIR_KERNEL_UNSAID = 3,   /* none is given: counted where no socket has the packet yet */
};

/* Frozen before load, from the kernel's BTF. */
struct weir_kernel_reasons {
  __u8 kind[WEIR_KERNEL_REASONS]; /* enum weir_kernel_reason */
  __u8 tells_socket;              /* the tracepoint has the receiving socket */
};
WEIR_LAYOUT(weir_kernel_reasons, WEIR_KERNEL_REASONS + 1);
