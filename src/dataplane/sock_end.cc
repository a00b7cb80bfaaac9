#include "dataplane/sock_end.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <span>

#include "abi/socket.h"
#include "state/entries.h"

namespace weir {
namespace {

// All that an iterator writes, handed over piece by piece.
template <typename Each>
Result<void> read_iterator(int link, Each each) {
  const Fd reader(bpf_iter_create(link));
  if (!reader) return errno_error(errno, "start");
  std::array<char, 4096> buffer;
  for (;;) {
    const ssize_t got = read(reader.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EAGAIN) continue;  // the kernel bounds one call; the pass goes on
    if (got < 0) return errno_error(errno, "read");
    if (got == 0) return {};
    each(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  }
}

Result<std::set<std::uint64_t>> namespaces(const Programs& programs, const Maps& maps) {
  bpf_iter_link_info info{};
  info.map.map_fd = static_cast<__u32>(maps.sock_tcp.get());
  LIBBPF_OPTS(bpf_link_create_opts, options, .iter_info = &info, .iter_info_len = sizeof info);
  const Fd link(bpf_link_create(programs.sock_find.get(), 0, BPF_TRACE_ITER, &options));
  if (!link) return errno_error(errno, "iterator over weir_sock_tcp");
  std::string bytes;
  WEIR_TRY(read_iterator(link.get(), [&bytes](std::string_view part) { bytes += part; }));
  std::set<std::uint64_t> cookies;
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= bytes.size();
       at += sizeof(std::uint64_t)) {
    std::uint64_t cookie = 0;
    bytes.copy(reinterpret_cast<char*>(&cookie), sizeof cookie, at);
    cookies.insert(cookie);
  }
  return cookies;
}

// An iterator looks at the namespace that it is started in.
Result<std::uint64_t> end_in(int link, const Netns& netns) {
  WEIR_ASSIGN(const auto scope, NetnsScope::enter(netns));
  std::uint64_t ended = 0;
  WEIR_TRY(read_iterator(link, [&ended](std::string_view part) { ended += part.size(); }));
  return ended;
}

Result<std::uint64_t> end_everywhere(const Programs& programs, const Maps& maps,
                                     const NetnsOf& netns_of) {
  WEIR_ASSIGN(const auto cookies, namespaces(programs, maps));
  if (cookies.empty()) return 0;
  const Fd link(bpf_link_create(programs.sock_end.get(), 0, BPF_TRACE_ITER, nullptr));
  if (!link) return errno_error(errno, "iterator over TCP sockets");
  std::uint64_t ended = 0;
  for (const std::uint64_t cookie : cookies) {
    const auto netns = netns_of(cookie);
    if (!netns) continue;  // its sockets went with it
    WEIR_ASSIGN(const std::uint64_t here, end_in(link.get(), *netns));
    ended += here;
  }
  return ended;
}

Result<void> put(const Maps& maps, std::span<const Address> gone) {
  for (const Address& address : gone) {
    const weir_addr key = to_abi(address);
    const std::uint32_t one = 1;
    if (bpf_map_update_elem(maps.sock_gone.get(), &key, &one, BPF_ANY) != 0) {
      return errno_error(errno, "map weir_sock_gone");
    }
  }
  return {};
}

void take_away(const Maps& maps, std::span<const Address> gone) {
  for (const Address& address : gone) {
    const weir_addr key = to_abi(address);
    bpf_map_delete_elem(maps.sock_gone.get(), &key);
  }
}

}  // namespace

Result<std::uint64_t> end_connections(const Programs& programs, const Maps& maps,
                                      const std::vector<Address>& gone, const NetnsOf& netns_of) {
  std::uint64_t ended = 0;
  std::span<const Address> left(gone);
  while (!left.empty()) {
    const auto batch = left.first(std::min<std::size_t>(left.size(), WEIR_SOCK_GONE));
    left = left.subspan(batch.size());
    auto done = put(maps, batch);
    auto here = done ? end_everywhere(programs, maps, netns_of)
                     : Result<std::uint64_t>(std::move(done).error());
    take_away(maps, batch);
    if (!here) return here.error().within("end connections to pods that are gone");
    ended += *here;
  }
  return ended;
}

}  // namespace weir
