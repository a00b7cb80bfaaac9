#pragma once

#include "abi/event.h"
#include "abi/metrics.h"
#include "lib/packet.h"
#include "lib/state.h"

/* Transitions of connections and drops, read by the agent. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4194304);
} weir_events SEC(".maps");

/* Events that found the ring full, by type. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_EVENTS);
  __type(key, __u32);
  __type(value, __u64);
} weir_lost SEC(".maps");

/* [hook][outcome], see abi/metrics.h. */
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, WEIR_METRICS);
  __type(key, __u32);
  __type(value, struct weir_metric);
} weir_metrics SEC(".maps");

static __always_inline void metric_add(const struct packet* pkt, __u32 outcome) {
  const __u32 index = WEIR_METRIC_INDEX(pkt->hook, outcome);
  struct weir_metric* metric = bpf_map_lookup_elem(&weir_metrics, &index);
  if (!metric) return;
  metric->packets += pkt->segments;
  metric->bytes += pkt->length;
}

/* Of a packet that another program has handed on: it has counted it already. */
static __always_inline void metric_take_back(const struct packet* pkt, __u32 outcome) {
  const __u32 index = WEIR_METRIC_INDEX(pkt->hook, outcome);
  struct weir_metric* metric = bpf_map_lookup_elem(&weir_metrics, &index);
  if (!metric) return;
  metric->packets -= pkt->segments;
  metric->bytes -= pkt->length;
}

/* Half a ring of unread events, or a sleeping agent, is worth an interrupt; else it polls. */
static __always_inline __u64 event_wakeup(void) {
  struct weir_state* state = state_get();
  if (state && READ_ONCE(state->wake)) {
    WRITE_ONCE(state->wake, 0);
    return BPF_RB_FORCE_WAKEUP;
  }
  return bpf_ringbuf_query(&weir_events, BPF_RB_AVAIL_DATA) > cfg.events_bytes / 2
             ? BPF_RB_FORCE_WAKEUP
             : BPF_RB_NO_WAKEUP;
}

static __always_inline struct weir_event* event_open(__u8 type) {
  if (!cfg.flow_events) return NULL;
  struct weir_event* event = bpf_ringbuf_reserve(&weir_events, sizeof(*event), 0);
  if (event) {
    __builtin_memset(event, 0, sizeof(*event));
    event->type = type;
    event->time_ns = bpf_ktime_get_ns();
    return event;
  }
  const __u32 index = type;
  __u64* lost = bpf_map_lookup_elem(&weir_lost, &index);
  if (lost) *lost += 1;
  return NULL;
}

static __always_inline void event_close(struct weir_event* event) {
  bpf_ringbuf_submit(event, event_wakeup());
}

/* Drops and first packets: both ends as the packet has them. */
static __always_inline void event_fill_packet(struct weir_event* event, const struct packet* pkt,
                                              __u32 ifindex) {
  event->src = pkt->src;
  event->dst = pkt->dst;
  event->src_port = pkt->src_port;
  event->dst_port =
      is_icmp(pkt->proto) ? bpf_htons((pkt->icmp_type << 8) | pkt->icmp_code) : pkt->dst_port;
  event->proto = pkt->proto;
  event->hook = pkt->hook;
  event->ifindex = ifindex;
  event->length = pkt->length;
}
