/* Structs of the kernel, as far as they are read here; their layout comes from its BTF. */
#pragma once

#include "lib/kernel.h"

struct net {
  __u64 net_cookie;
} __attribute__((preserve_access_index));

typedef struct {
  struct net* net;
} possible_net_t;

struct sock_common {
  possible_net_t skc_net;
} __attribute__((preserve_access_index));

struct sock {
  struct sock_common __sk_common;
} __attribute__((preserve_access_index));

struct net_device {
  int ifindex;
  possible_net_t nd_net;
} __attribute__((preserve_access_index));

/* tail and end are offsets from head, as on every 64-bit kernel. */
struct sk_buff {
  struct net_device* dev;
  unsigned int len;
  __u32 mark;
  __u16 network_header;
  unsigned int tail;
  unsigned int end;
  unsigned char* head;
  unsigned char* data;
} __attribute__((preserve_access_index));

struct skb_shared_info {
  unsigned short gso_segs;
} __attribute__((preserve_access_index));
