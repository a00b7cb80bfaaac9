#pragma once

// clang-format off: the second needs the types of the first
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
// clang-format on
