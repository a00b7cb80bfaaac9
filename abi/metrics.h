#pragma once

#include "abi/drops.h"
#include "abi/hooks.h"
#include "abi/layout.h"

/* Map weir_metrics: per CPU, [hook][outcome] -> packets and bytes. Per hook
 * IN = FORWARD + STACK + all drops, always. SOCKET counts calls as packets:
 * connect() and sendto() that were translated (FORWARD) or refused. */
enum weir_outcome {
  WEIR_OUTCOME_IN = 0,
  WEIR_OUTCOME_FORWARD = 1,
  WEIR_OUTCOME_STACK = 2,
  WEIR_OUTCOME_DROP = 3, /* + enum weir_drop */
  WEIR_OUTCOMES = WEIR_OUTCOME_DROP + WEIR_DROP_MAX + 1,
};
#define WEIR_METRIC_INDEX(hook, outcome) ((__u32)(hook) * (__u32)WEIR_OUTCOMES + (__u32)(outcome))
#define WEIR_METRICS ((__u32)WEIR_HOOKS * (__u32)WEIR_OUTCOMES)

struct weir_metric {
  __u64 packets; /* segments on the wire: a GSO packet counts as many */
  __u64 bytes;
};
WEIR_LAYOUT(weir_metric, 16);

/* Map weir_lost: per CPU, enum weir_event_type -> events that found the ring buffer full. */
