#pragma once

/* Where a packet meets Weir. */
enum weir_hook {
  WEIR_HOOK_FROM_POD = 0,
  WEIR_HOOK_TO_POD = 1,
  WEIR_HOOK_FROM_NET = 2,
  WEIR_HOOK_TO_NET = 3,
  WEIR_HOOK_SOCKET = 4, /* calls of processes, not packets */
  WEIR_HOOK_XDP = 5,    /* counts only what it sends on; all else meets FROM_NET */
  WEIR_HOOKS = 6,
  WEIR_HOOK_KERNEL = 6, /* no hook of Weir's: where the kernel drops a packet on its own */
};

/* How a packet leaves. */
enum weir_out {
  WEIR_OUT_NONE = 0,   /* dropped */
  WEIR_OUT_LOCAL = 1,  /* to a pod on this node */
  WEIR_OUT_TUNNEL = 2, /* encapsulated to another node */
  WEIR_OUT_DIRECT = 3, /* by a link of this node, next hop from the kernel's tables */
  WEIR_OUT_HOST = 4,   /* to this host's stack */
};
