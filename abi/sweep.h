#pragma once

#include "abi/layout.h"

/* Map weir_sweep, one element: idle limits in seconds of the pass that is running. */
struct weir_sweep {
  __u32 tcp_s;         /* established */
  __u32 tcp_opening_s; /* half-open: an end has not spoken, or the opener by SYNs alone */
  __u32 closed_s;      /* both FINs or a RST were seen */
  __u32 unreplied_s;   /* not TCP, one-sided */
  __u32 one_answer_s;  /* not TCP, one packet each way: a question and its answer */
  __u32 stream_s;      /* not TCP, more than that */
  /* 1: nothing ends; instead each connection through a Service that is not over is told, as NEW. */
  __u32 tell_services;
  /* Translated TCP: the other end may be in TIME_WAIT, and must not meet a stranger with this
   * tuple. */
  __u32 closed_translated_s;
};
WEIR_LAYOUT(weir_sweep, 32);
