/* What a process gets that addresses a Service: the backend itself, an error, or its way by the
 * packet path. */
#pragma once

#include "abi/drops.h"
#include "lib/event.h"
#include "lib/service.h"
#include "lib/sock_flow.h"

/* Seconds: a silent datagram flow chooses its backend again, as the sweep lets it. */
#define SOCK_IDLE_S 180
#define LOOPBACK_V4 127 /* first byte */

/* Cookie of a network namespace -> its addresses: pods of this node, and the node itself. Written
 * and deleted by the agent. Not preallocated: a reader never sees another's. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u64);
  __type(value, struct weir_netns);
} weir_netns SEC(".maps");

/* A connect() or sendto(). */
struct sock_call {
  struct weir_addr dst;
  struct weir_addr client; /* zero: this node itself */
  struct weir_addr self;   /* the client's address, for events; zero: not known */
  __be16 port;
  __u8 proto;
  bool node;
};

enum sock_verdict {
  SOCK_LEAVE,     /* no business of ours, or of the packet path */
  SOCK_TRANSLATE, /* `backend` is set */
  SOCK_REFUSE,
};

static __always_inline void sock_count(__u32 outcome) {
  const __u32 in = WEIR_METRIC_INDEX(WEIR_HOOK_SOCKET, WEIR_OUTCOME_IN);
  const __u32 out = WEIR_METRIC_INDEX(WEIR_HOOK_SOCKET, outcome);
  struct weir_metric* metric = bpf_map_lookup_elem(&weir_metrics, &in);
  if (metric) metric->packets += 1;
  metric = bpf_map_lookup_elem(&weir_metrics, &out);
  if (metric) metric->packets += 1;
}

/* The counterpart of drop(): counts and tells why. */
static __always_inline enum sock_verdict sock_refuse(const struct sock_call* call, __u32 service,
                                                     enum weir_drop reason) {
  sock_count(WEIR_OUTCOME_DROP + reason);
  struct weir_event* event = event_open(WEIR_EVENT_DROP);
  if (!event) return SOCK_REFUSE;
  event->src = call->self;
  event->dst = call->dst;
  event->dst_port = call->port;
  event->proto = call->proto;
  event->hook = WEIR_HOOK_SOCKET;
  event->reason = reason;
  event->service = service;
  event_close(event);
  return SOCK_REFUSE;
}

static __always_inline bool addr_is_loopback(const struct weir_addr* a) {
  if (addr_is_v4(a)) return bpf_ntohl(a->word[3]) >> 24 == LOOPBACK_V4;
  return (a->word[0] | a->word[1] | a->word[2]) == 0 && a->word[3] == bpf_htonl(1);
}

/* The row of a Service that this call addresses. The zero address is nobody's: its rows stand for
 * all addresses of this node. */
static __always_inline bool sock_service(const struct sock_call* call, struct weir_service* row) {
  const struct weir_addr any = addr_any(&call->dst);
  if (addr_equal(&call->dst, &any)) return false;
  if (!service_find(&call->dst, call->port, call->proto, true, true, row)) return false;
  if (!addr_equal(&row->key.vip, &any)) return true;
  struct weir_route route;
  return route_lookup(&call->dst, &route) && route.kind == WEIR_ROUTE_HOST;
}

/* Who calls; false: a namespace that is not ours, or a pod that means its own loopback. */
static __always_inline bool sock_caller(struct sock_call* call, __u64 cookie) {
  const struct weir_state* state = state_get();
  const struct weir_netns* netns = bpf_map_lookup_elem(&weir_netns, &cookie);
  if (netns) call->self = addr_is_v4(&call->dst) ? netns->v4 : netns->v6;
  call->node = state && cookie == READ_ONCE(state->netns);
  if (call->node) return true;
  call->client = call->self;
  return !addr_is_zero(&call->client) && !addr_is_loopback(&call->dst);
}

/* Source ranges: kube-proxy drops, so who is not admitted goes by the packet path; so does the
 * node, whose source address is chosen later. */
static __always_inline bool sock_admits(const struct sock_call* call,
                                        const struct weir_service* row) {
  if (!(row->flags & WEIR_SERVICE_SOURCE_RANGES)) return true;
  return !call->node && service_admits(row, &call->client);
}

SHARED int sock_pick(const struct weir_service* row, const struct weir_addr* client,
                     struct weir_backend* backend) {
  if (!row || !client || !backend) return 0;
  const struct service_client who = {.addr = client, .here = true};
  return service_select(row, &who, backend);
}

static __always_inline enum sock_verdict sock_select(const struct sock_call* call,
                                                     const struct weir_service* row,
                                                     struct weir_backend* backend) {
  if (sock_pick(row, &call->client, backend)) return SOCK_TRANSLATE;
  return sock_refuse(
      call, row->id,
      row->flags & WEIR_SERVICE_LOCAL ? WEIR_DROP_SERVICE_NO_LOCAL : WEIR_DROP_SERVICE_NO_BACKEND);
}

/* TCP: once per connection. */
static __always_inline enum sock_verdict sock_connect(struct sock_call* call, __u64 cookie,
                                                      struct weir_service* row,
                                                      struct weir_backend* backend) {
  const bool found = sock_service(call, row);
  if (!found && !service_has_other_ports(&call->dst)) return SOCK_LEAVE;
  if (!sock_caller(call, cookie)) return SOCK_LEAVE;
  if (!found) return sock_refuse(call, 0, WEIR_DROP_SERVICE_NO_PORT);
  if (!sock_admits(call, row)) return SOCK_LEAVE;
  return sock_select(call, row, backend);
}

static __always_inline bool flow_is_to(const struct weir_sock_flow* flow,
                                       const struct weir_addr* vip, __be16 port) {
  return flow->vip_port == port && addr_equal(&flow->vip, vip);
}

static __always_inline bool flow_is_idle(const struct weir_sock_flow* flow) {
  return !flow->vip_port || jiffies() - flow->seen > SOCK_IDLE_S * (__u32)cfg.hz;
}

/* Its backend is still one of the Service's. */
SHARED int flow_serves(const struct weir_sock_flow* flow, __u32 set) {
  if (!flow) return 0;
  const struct weir_addr addr = flow->backend;
  return service_has_backend(set, &addr, flow->backend_port);
}

/* Where the flow to vip:port is: its own place, or one that is free; -1: there is none. */
SHARED int flow_place(const struct weir_sock_flows* flows, const struct weir_addr* vip,
                      __u16 port) {
  if (!flows || !vip) return -1;
  int place = -1;
  for (int i = WEIR_SOCK_FLOWS - 1; i >= 0; i--) {
    const struct weir_sock_flow* flow = &flows->flow[i];
    if (flow_is_to(flow, vip, port)) return i;
    if (flow_is_idle(flow)) place = i;
  }
  return place;
}

static __always_inline struct weir_sock_flow* flow_at(struct weir_sock_flows* flows, int place) {
  if (place < 0 || place >= WEIR_SOCK_FLOWS) return NULL;
  return &flows->flow[place];
}

/* A datagram of an unconnected socket. A flow stays with its backend while that serves. Two
 * Services behind which one socket finds the same backend could not be told apart in its answers:
 * the second goes by the packet path, as do those that find no place. */
static __always_inline enum sock_verdict sock_datagram(const struct sock_call* call,
                                                       struct weir_sock_flows* flows,
                                                       const struct weir_service* row,
                                                       struct weir_backend* backend) {
  struct weir_sock_flow* flow = flow_at(flows, flow_place(flows, &call->dst, call->port));
  if (!flow) return SOCK_LEAVE;
  const bool known = flow_is_to(flow, &call->dst, call->port) && !flow_is_idle(flow);
  flow->seen = jiffies();
  if (known && !flow->backend_port) return SOCK_LEAVE;
  if (known && flow_serves(flow, row->set)) {
    backend->addr = flow->backend;
    backend->port = flow->backend_port;
    return SOCK_TRANSLATE;
  }
  flow->vip_port = 0;
  const enum sock_verdict verdict = sock_select(call, row, backend);
  if (verdict != SOCK_TRANSLATE) return verdict;
  const bool taken = flow_from(flows, &backend->addr, backend->port) >= 0;
  flow->vip = call->dst;
  flow->vip_port = call->port;
  flow->backend = backend->addr;
  flow->backend_port = taken ? 0 : backend->port;
  flow->service = row->id;
  return taken ? SOCK_LEAVE : SOCK_TRANSLATE;
}
