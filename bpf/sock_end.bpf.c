/* The end of connections that were translated at the socket and whose backend's pod is gone: an
 * idle client would never hear of it. Two iterators, started by the agent: which namespaces have
 * such sockets, and, run in each of these, their end. */
#include "lib/kernel_structs.h"
#include "lib/socket.h"

struct bpf_iter__bpf_sk_storage_map {
  struct bpf_iter_meta* meta;
  struct bpf_map* map;
  struct sock* sk;
  void* value;
} __attribute__((preserve_access_index));

struct bpf_iter__tcp {
  struct bpf_iter_meta* meta;
  struct sock_common* sk_common;
} __attribute__((preserve_access_index));

/* Kernels before 6.5 lack it: there these connections last until the client sends. */
extern int bpf_sock_destroy(struct sock_common* sock) __ksym __weak;

/* Addresses of pods that are gone. Filled by the agent for the length of a run. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, WEIR_SOCK_GONE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct weir_addr);
  __type(value, __u32);
} weir_sock_gone SEC(".maps");

static __always_inline bool backend_is_gone(const struct weir_sock_flow* flow) {
  const struct weir_addr addr = flow->backend;
  return bpf_map_lookup_elem(&weir_sock_gone, &addr) != NULL;
}

/* Over weir_sock_tcp; writes a cookie for each such socket. */
SEC("iter/bpf_sk_storage_map")
int sock_find(struct bpf_iter__bpf_sk_storage_map* ctx) {
  struct sock* sk = ctx->sk;
  const struct weir_sock_flow* flow = ctx->value;
  if (!sk || !flow || !backend_is_gone(flow)) return 0;
  const __u64 cookie = sk->__sk_common.skc_net.net->net_cookie;
  bpf_seq_write(ctx->meta->seq, &cookie, sizeof(cookie));
  return 0;
}

/* Over the TCP sockets of the namespace where it was started; writes a byte for each that ends. */
SEC("iter/tcp")
int sock_end(struct bpf_iter__tcp* ctx) {
  static const __u8 one = 1;
  struct sock_common* sk = ctx->sk_common;
  if (!sk) return 0;
  struct tcp_sock* tcp = bpf_skc_to_tcp_sock(sk);
  if (!tcp) return 0;
  const struct weir_sock_flow* flow = bpf_sk_storage_get(&weir_sock_tcp, tcp, 0, 0);
  if (!flow || !backend_is_gone(flow)) return 0;
  if (!bpf_ksym_exists(bpf_sock_destroy) || bpf_sock_destroy(sk)) return 0;
  bpf_seq_write(ctx->meta->seq, &one, sizeof(one));
  return 0;
}
