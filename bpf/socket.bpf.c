/* The socket hooks: connect, sendto and what must look as if they had reached the Service itself.
 * Attached to a cgroup of the node's processes; who calls is told by the network namespace. */
#include "lib/socket.h"

#include <asm-generic/errno.h>

#define SOCK_ALLOW 1
#define SOCK_DENY 0

#define SOL_IP 0
#define SOL_IPV6 41
#define SO_ORIGINAL_DST 80 /* of both families */

static __always_inline struct weir_addr user_addr6(const struct bpf_sock_addr* ctx) {
  return (struct weir_addr){
      .word = {ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3]}};
}

static __always_inline void set_user4(struct bpf_sock_addr* ctx, const struct weir_addr* addr,
                                      __be16 port) {
  ctx->user_ip4 = addr->word[3];
  ctx->user_port = port;
}

static __always_inline void set_user6(struct bpf_sock_addr* ctx, const struct weir_addr* addr,
                                      __be16 port) {
  ctx->user_ip6[0] = addr->word[0];
  ctx->user_ip6[1] = addr->word[1];
  ctx->user_ip6[2] = addr->word[2];
  ctx->user_ip6[3] = addr->word[3];
  ctx->user_port = port;
}

/* What the process is told: its call fails at once. */
static __always_inline int sock_deny(void) {
  bpf_set_retval(-ECONNREFUSED);
  return SOCK_DENY;
}

/* A source port that the process has chosen may be in use towards the backend: EADDRNOTAVAIL. The
 * packet path finds another way. */
static __always_inline enum sock_verdict tcp_connect(struct bpf_sock_addr* ctx,
                                                     struct sock_call* call,
                                                     struct weir_backend* backend) {
  struct bpf_sock* sk = ctx->sk;
  if (ctx->protocol != IPPROTO_TCP || !sk) return SOCK_LEAVE;
  bpf_sk_storage_delete(&weir_sock_tcp, sk); /* of an earlier connection */
  if (sk->src_port) return SOCK_LEAVE;
  call->proto = IPPROTO_TCP;
  struct weir_service row;
  const enum sock_verdict verdict = sock_connect(call, bpf_get_netns_cookie(ctx), &row, backend);
  if (verdict != SOCK_TRANSLATE) return verdict;
  struct weir_sock_flow flow = {.vip = call->dst,
                                .vip_port = call->port,
                                .backend = backend->addr,
                                .backend_port = backend->port,
                                .service = row.id};
  /* No memory: the process could not learn whom it speaks to. */
  if (!bpf_sk_storage_get(&weir_sock_tcp, sk, &flow, BPF_SK_STORAGE_GET_F_CREATE))
    return SOCK_LEAVE;
  sock_count(WEIR_OUTCOME_FORWARD);
  return SOCK_TRANSLATE;
}

SEC("cgroup/connect4")
int sock_connect4(struct bpf_sock_addr* ctx) {
  struct sock_call call = {.dst = addr_v4(ctx->user_ip4), .port = ctx->user_port};
  struct weir_backend backend = {};
  const enum sock_verdict verdict = tcp_connect(ctx, &call, &backend);
  if (verdict == SOCK_REFUSE) return sock_deny();
  if (verdict == SOCK_TRANSLATE) set_user4(ctx, &backend.addr, backend.port);
  return SOCK_ALLOW;
}

SEC("cgroup/connect6")
int sock_connect6(struct bpf_sock_addr* ctx) {
  struct sock_call call = {.dst = user_addr6(ctx), .port = ctx->user_port};
  struct weir_backend backend = {};
  const enum sock_verdict verdict = tcp_connect(ctx, &call, &backend);
  if (verdict == SOCK_REFUSE) return sock_deny();
  if (verdict == SOCK_TRANSLATE) set_user6(ctx, &backend.addr, backend.port);
  return SOCK_ALLOW;
}

/* The other end as the process has addressed it. */
static __always_inline const struct weir_sock_flow* tcp_flow(struct bpf_sock* sk) {
  return sk ? bpf_sk_storage_get(&weir_sock_tcp, sk, 0, 0) : NULL;
}

SEC("cgroup/getpeername4")
int sock_peer4(struct bpf_sock_addr* ctx) {
  const struct weir_sock_flow* flow = tcp_flow(ctx->sk);
  if (flow) set_user4(ctx, &flow->vip, flow->vip_port);
  return SOCK_ALLOW;
}

SEC("cgroup/getpeername6")
int sock_peer6(struct bpf_sock_addr* ctx) {
  const struct weir_sock_flow* flow = tcp_flow(ctx->sk);
  if (flow) set_user6(ctx, &flow->vip, flow->vip_port);
  return SOCK_ALLOW;
}

/* What netfilter answers after its own translation. */
struct original_dst4 {
  __u16 family;
  __be16 port;
  __be32 addr;
  __u64 zero;
};

struct original_dst6 {
  __u16 family;
  __be16 port;
  __u32 flowinfo;
  struct weir_addr addr;
  __u32 scope;
};

SEC("cgroup/getsockopt")
int sock_getopt(struct bpf_sockopt* ctx) {
  if (ctx->optname != SO_ORIGINAL_DST) return SOCK_ALLOW;
  const struct weir_sock_flow* flow = tcp_flow(ctx->sk);
  if (!flow) return SOCK_ALLOW;
  const bool ipv4 = addr_is_v4(&flow->vip);
  if (ctx->level == SOL_IP && ipv4) {
    struct original_dst4* out = ctx->optval;
    if ((void*)(out + 1) > ctx->optval_end) return SOCK_ALLOW;
    *out = (struct original_dst4){
        .family = WEIR_AF_INET, .port = flow->vip_port, .addr = flow->vip.word[3]};
    ctx->optlen = sizeof(*out);
  } else if (ctx->level == SOL_IPV6 && !ipv4) {
    struct original_dst6* out = ctx->optval;
    if ((void*)(out + 1) > ctx->optval_end) return SOCK_ALLOW;
    *out =
        (struct original_dst6){.family = WEIR_AF_INET6, .port = flow->vip_port, .addr = flow->vip};
    ctx->optlen = sizeof(*out);
  } else {
    return SOCK_ALLOW;
  }
  ctx->retval = 0;
  return SOCK_ALLOW;
}

/* Connected sockets get answers from whom they are connected to, and nobody else: the packet path
 * translates for them. */
static __always_inline enum sock_verdict udp_send(struct bpf_sock_addr* ctx, struct sock_call* call,
                                                  struct weir_backend* backend) {
  struct bpf_sock* sk = ctx->sk;
  if (ctx->protocol != IPPROTO_UDP || !sk || sk->dst_port) return SOCK_LEAVE;
  call->proto = IPPROTO_UDP;
  struct weir_service row;
  if (!sock_service(call, &row) || !sock_caller(call, bpf_get_netns_cookie(ctx)) ||
      !sock_admits(call, &row))
    return SOCK_LEAVE;
  struct weir_sock_flows* flows =
      bpf_sk_storage_get(&weir_sock_udp, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!flows) return SOCK_LEAVE; /* no memory */
  const enum sock_verdict verdict = sock_datagram(call, flows, &row, backend);
  if (verdict == SOCK_TRANSLATE) sock_count(WEIR_OUTCOME_FORWARD);
  return verdict;
}

SEC("cgroup/sendmsg4")
int sock_sendmsg4(struct bpf_sock_addr* ctx) {
  struct sock_call call = {.dst = addr_v4(ctx->user_ip4), .port = ctx->user_port};
  struct weir_backend backend = {};
  const enum sock_verdict verdict = udp_send(ctx, &call, &backend);
  if (verdict == SOCK_REFUSE) return sock_deny();
  if (verdict == SOCK_TRANSLATE) set_user4(ctx, &backend.addr, backend.port);
  return SOCK_ALLOW;
}

SEC("cgroup/sendmsg6")
int sock_sendmsg6(struct bpf_sock_addr* ctx) {
  struct sock_call call = {.dst = user_addr6(ctx), .port = ctx->user_port};
  struct weir_backend backend = {};
  const enum sock_verdict verdict = udp_send(ctx, &call, &backend);
  if (verdict == SOCK_REFUSE) return sock_deny();
  if (verdict == SOCK_TRANSLATE) set_user6(ctx, &backend.addr, backend.port);
  return SOCK_ALLOW;
}

/* Whom the process has sent to; NULL: the sender is no backend of ours. */
static __always_inline const struct weir_sock_flow* udp_flow(struct bpf_sock* sk,
                                                             const struct weir_addr* from,
                                                             __be16 port) {
  if (!sk) return NULL;
  struct weir_sock_flows* flows = bpf_sk_storage_get(&weir_sock_udp, sk, 0, 0);
  return flows ? flow_at(flows, flow_from(flows, from, port)) : NULL;
}

SEC("cgroup/recvmsg4")
int sock_recvmsg4(struct bpf_sock_addr* ctx) {
  const struct weir_addr from = addr_v4(ctx->user_ip4);
  const struct weir_sock_flow* flow = udp_flow(ctx->sk, &from, ctx->user_port);
  if (flow) set_user4(ctx, &flow->vip, flow->vip_port);
  return SOCK_ALLOW;
}

SEC("cgroup/recvmsg6")
int sock_recvmsg6(struct bpf_sock_addr* ctx) {
  const struct weir_addr from = user_addr6(ctx);
  const struct weir_sock_flow* flow = udp_flow(ctx->sk, &from, ctx->user_port);
  if (flow) set_user6(ctx, &flow->vip, flow->vip_port);
  return SOCK_ALLOW;
}

static __always_inline bool node_port_used(const struct weir_addr* any, __be16 port, __u8 proto) {
  const struct weir_service_key key = {.vip = *any, .port = port, .proto = proto};
  struct weir_service row;
  return service_row(&key, &row);
}

/* A host's listener on a NodePort would never hear of anything. Ports that no Service uses, and
 * loopback, where no NodePort is served, are the host's. */
static __always_inline int bind_guard(struct bpf_sock_addr* ctx, const struct weir_addr* addr) {
  const __be16 port = ctx->user_port;
  const __u16 number = bpf_ntohs(port);
  const __u8 proto = ctx->protocol;
  if (number < cfg.node_port_min || number > cfg.node_port_max) return SOCK_ALLOW;
  if (proto != IPPROTO_TCP && proto != IPPROTO_UDP) return SOCK_ALLOW;
  const struct weir_state* state = state_get();
  if (!state || bpf_get_netns_cookie(ctx) != READ_ONCE(state->netns)) return SOCK_ALLOW;
  if (addr_is_loopback(addr)) return SOCK_ALLOW;
  const struct weir_addr any4 = addr_v4(0);
  const struct weir_addr any6 = {};
  const bool both = addr_is_zero(addr); /* [::] is bound for IPv4, too */
  const bool ipv4 = addr_is_v4(addr);
  if (!((ipv4 || both) && node_port_used(&any4, port, proto)) &&
      !(!ipv4 && node_port_used(&any6, port, proto)))
    return SOCK_ALLOW;
  bpf_set_retval(-EADDRINUSE);
  return SOCK_DENY;
}

SEC("cgroup/bind4")
int sock_bind4(struct bpf_sock_addr* ctx) {
  const struct weir_addr addr = addr_v4(ctx->user_ip4);
  return bind_guard(ctx, &addr);
}

SEC("cgroup/bind6")
int sock_bind6(struct bpf_sock_addr* ctx) {
  const struct weir_addr addr = user_addr6(ctx);
  return bind_guard(ctx, &addr);
}
