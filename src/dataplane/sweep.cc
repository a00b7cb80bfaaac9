#include "dataplane/sweep.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "abi/event.h"

namespace weir {
namespace {

Result<Fd> start_iterator(const Programs& programs, const Maps& maps) {
  bpf_iter_link_info info{};
  info.map.map_fd = static_cast<__u32>(maps.ct.get());
  LIBBPF_OPTS(bpf_link_create_opts, options, .iter_info = &info, .iter_info_len = sizeof info);
  const Fd link(bpf_link_create(programs.sweep.get(), 0, BPF_TRACE_ITER, &options));
  if (!link) return errno_error(errno, "sweep: iterator over weir_ct");
  Fd reader(bpf_iter_create(link.get()));
  if (!reader) return errno_error(errno, "sweep: start");
  return reader;
}

}  // namespace

Result<void> run_sweep(const Programs& programs, const Maps& maps, const weir_sweep& limits,
                       const std::function<void(std::span<const std::byte>)>& on_ended) {
  const std::uint32_t zero = 0;
  if (bpf_map_update_elem(maps.sweep.get(), &zero, &limits, BPF_ANY) != 0) {
    return errno_error(errno, "map weir_sweep");
  }
  WEIR_ASSIGN(const Fd reader, start_iterator(programs, maps));
  std::array<std::byte, 64 * sizeof(weir_event)> buffer;
  std::size_t held = 0;
  for (;;) {
    const ssize_t got = read(reader.get(), buffer.data() + held, buffer.size() - held);
    if (got < 0 && errno == EAGAIN) continue;  // the kernel bounds one call; the pass goes on
    if (got < 0) return errno_error(errno, "sweep: read");
    if (got == 0) return {};
    held += static_cast<std::size_t>(got);
    std::size_t used = 0;
    for (; held - used >= sizeof(weir_event); used += sizeof(weir_event)) {
      on_ended(std::span(buffer).subspan(used, sizeof(weir_event)));
    }
    std::copy(buffer.begin() + static_cast<std::ptrdiff_t>(used),
              buffer.begin() + static_cast<std::ptrdiff_t>(held), buffer.begin());
    held -= used;
  }
}

}  // namespace weir
