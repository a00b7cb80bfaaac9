/* What the programs need of the kernel: helpers, headers of the wire, return codes of TCX. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* libbpf's headers need the kernel's types before them. */
/* clang-format off */
#include <linux/types.h>
#include <asm-generic/errno-base.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
/* clang-format on */

#include "abi/settings.h"

#define WEIR_AF_INET 2
#define WEIR_AF_INET6 10

/* Frozen before load: a branch on a setting that is off is never seen by the verifier. */
const volatile struct weir_settings cfg SEC(".rodata.cfg") = {};

/* Of every iterator. */
struct bpf_iter_meta {
  struct seq_file* seq;
} __attribute__((preserve_access_index));

/* A function that the verifier judges once, by its types, wherever it is called from. Its pointers
 * may be NULL for all it knows. */
#define SHARED __noinline

#define barrier() asm volatile("" ::: "memory")
#define READ_ONCE(x) (*(volatile typeof(x)*)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x)*)&(x) = (v))

static __always_inline __u32 jiffies(void) { return (__u32)bpf_jiffies64(); }
