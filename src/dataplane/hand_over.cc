#include "dataplane/hand_over.h"

#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>

#include "abi/conntrack.h"

namespace weir {
namespace {

// A packet's program may have read the clock before the row that it writes is there.
constexpr std::uint64_t kInFlightNs = 1'000'000'000;
constexpr std::chrono::milliseconds kLongestInside{100};
constexpr std::size_t kPage = 4096;

std::uint64_t monotonic_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count());
}

// Packets that are inside a program have left it then. Kernels with nohz_full do not tell.
void wait_for_packets() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return;
  std::this_thread::sleep_for(kLongestInside);
}

template <typename T>
T get(std::span<const std::byte> row, const std::optional<BtfMember>& at, std::size_t index = 0) {
  T out{};
  const std::size_t begin = at ? at->offset + index * sizeof out : row.size();
  if (begin + sizeof out <= row.size()) std::memcpy(&out, row.data() + begin, sizeof out);
  return out;
}

template <typename T>
void put(std::span<std::byte> row, const std::optional<BtfMember>& at, T value) {
  if (at && at->offset + sizeof value <= row.size())
    std::memcpy(row.data() + at->offset, &value, sizeof value);
}

void clear(std::span<std::byte> row, const std::optional<BtfMember>& at) {
  if (at && at->offset + at->size <= row.size()) std::memset(row.data() + at->offset, 0, at->size);
}

std::string program_name(int table, std::uint32_t slot) {
  __u32 id = 0;
  if (bpf_map_lookup_elem(table, &slot, &id) != 0) return "";
  const Fd program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  __u32 size = sizeof info;
  if (bpf_prog_get_info_by_fd(program.get(), &info, &size) != 0) return "";
  return info.name;
}

// By names: another build may have other numbers. An heir that stands there, of an agent that died,
// stays: it knows what has begun in its own table, and hands on by its own stages.
Result<void> replace_stage(const std::string& path, std::string_view stage, int heir) {
  const auto table = open_pin(path);
  if (!table) return {};
  bpf_map_info info{};
  __u32 size = sizeof info;
  if (bpf_map_get_info_by_fd(table->get(), &info, &size) != 0) return errno_error(errno, path);
  for (std::uint32_t slot = 0; slot < info.max_entries; ++slot) {
    const std::string name = program_name(table->get(), slot);
    if (!name.starts_with(stage)) continue;
    if (bpf_map_update_elem(table->get(), &slot, &heir, BPF_ANY) != 0)
      return errno_error(errno, "take over from " + path);
  }
  return {};
}

// stage: as programs are named, without the direction.
Result<void> replace_stages(const PinPaths& paths, const std::string& build, std::string_view stage,
                            const HandOver::Heirs& heirs) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths.root, ignored)) {
    const std::string dir = entry.path().filename();
    if (!dir.starts_with("progs-") || entry.path() == paths.programs(build)) continue;
    const std::string name(stage);
    WEIR_TRY(replace_stage(entry.path().string() + "/weir_stages_in", "ingress_" + name, heirs.in));
    WEIR_TRY(
        replace_stage(entry.path().string() + "/weir_stages_out", "egress_" + name, heirs.out));
  }
  return {};
}

Result<void> bump_epoch(const ShapedTable& state) {
  const auto epoch = find_member(state.shape().value, "epoch");
  if (!epoch || epoch->size != sizeof(std::uint64_t) || epoch->offset + epoch->size > kPage)
    return Error(Code::kKernel, "map weir_state has no epoch");
  void* memory = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, state.fd(), 0);
  if (memory == MAP_FAILED) return errno_error(errno, "map weir_state into memory");
  auto* word = reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(memory) + epoch->offset);
  std::atomic_ref(*word).fetch_add(1);
  munmap(memory, kPage);
  return {};
}

}  // namespace

HandOver::Layout::Layout(const BtfType& value)
    : id(find_member(value, "id")),
      epoch(find_member(value, "epoch")),
      state(find_member(value, "state")),
      flags(find_member(value, "flags")),
      seen(find_member(value, "seen")),
      path(find_member(value, "path")),
      packets(find_member(value, "packets")),
      bytes(find_member(value, "bytes")),
      created_ns(find_member(value, "created_ns")),
      replied_ns(find_member(value, "replied_ns")) {}

HandOver::HandOver(const ShapedTable& from, int to, TableMove move, const TableShape& types)
    : from_(&from),
      to_(to),
      move_(std::move(move)),
      old_(from.shape().value),
      new_(types.value),
      shrinks_(types.capacity < from.shape().capacity) {}

std::optional<HandOver> HandOver::plan(const ShapedTable& from, int to, const TableShape& types) {
  auto move = TableMove::plan(from, types);
  if (!move || types.key_size != sizeof(weir_ct_key) || from.shape().value.info == nullptr ||
      types.value.info == nullptr)
    return std::nullopt;
  return HandOver(from, to, std::move(*move), types);
}

// The paths are asked for again by the first packet, the counts come when they are final.
bool HandOver::prepare(const ShapedTable::Row& old, std::span<std::byte> key,
                       std::span<std::byte> value) const {
  if (get<std::uint32_t>(old.second, old_.state) == WEIR_CT_DEAD) return false;
  weir_ct_key tuple;
  std::memcpy(&tuple, key.data(), sizeof tuple);
  put<std::uint64_t>(value, new_.id, weir_ct_id(&tuple));
  put<std::uint64_t>(value, new_.epoch, 1);
  if (get<std::uint64_t>(old.second, old_.epoch) == 0) clear(value, new_.path);  // half rewritten
  clear(value, new_.packets);
  clear(value, new_.bytes);
  return true;
}

// Where not all fit, translated connections are the ones that cannot do without.
Result<TableMove::Count> HandOver::copy() {
  copied_ns_ = monotonic_ns() - kInFlightNs;
  const TableMove::Edit all = [this](const auto& old, auto key, auto value) {
    return prepare(old, key, value);
  };
  if (!shrinks_) return move_.run(*from_, to_, BPF_ANY, all);
  const auto translated = [this](const auto& old, auto key, auto value) {
    const auto flags = get<std::uint32_t>(old.second, old_.flags);
    return (flags & (WEIR_CT_NAT | WEIR_CT_NAT_REPLY)) != 0 && (flags & WEIR_CT_CLOSED) == 0 &&
           prepare(old, key, value);
  };
  WEIR_ASSIGN(TableMove::Count first, move_.run(*from_, to_, BPF_NOEXIST, translated));
  WEIR_ASSIGN(const TableMove::Count rest, move_.run(*from_, to_, BPF_NOEXIST, all));
  first.moved += rest.moved;
  first.left = rest.left;  // it has met the first ones again
  return first;
}

Result<TableMove::Count> HandOver::copy_missing() {
  copied_ns_ = monotonic_ns() - kInFlightNs;
  return move_.run(*from_, to_, BPF_ANY, made_after(0));
}

// Not what is there by now: this build's programs may have made it.
TableMove::Edit HandOver::made_after(std::uint64_t since_ns) const {
  return [this, since_ns](const auto& old, auto key, auto value) {
    const auto created = get<std::uint64_t>(old.second, old_.created_ns);
    if (created < since_ns) return false;
    std::vector<std::byte> there(value.size());
    const bool known = bpf_map_lookup_elem(to_, key.data(), there.data()) == 0;
    if (known && get<std::uint64_t>(there, new_.created_ns) >= created) return false;
    return prepare(old, key, value);
  };
}

Result<void> HandOver::merge(int program) const {
  return from_->read([&](const ShapedTable::Row& old) {
    weir_ct_books books{};
    std::memcpy(&books.key, move_.key_of(old.first).data(), sizeof books.key);
    books.flags = get<std::uint32_t>(old.second, old_.flags);
    books.seen = get<std::uint32_t>(old.second, old_.seen);
    for (std::size_t i = 0; i < 2; ++i) {
      books.packets[i] = get<std::uint64_t>(old.second, old_.packets, i);
      books.bytes[i] = get<std::uint64_t>(old.second, old_.bytes, i);
    }
    books.created_ns = get<std::uint64_t>(old.second, old_.created_ns);
    books.replied_ns = get<std::uint64_t>(old.second, old_.replied_ns);
    LIBBPF_OPTS(bpf_test_run_opts, options, .ctx_in = &books, .ctx_size_in = sizeof books);
    bpf_prog_test_run_opts(program, &options);
  });
}

Result<void> HandOver::take_over(std::span<const HandOver> tables, const PinPaths& paths,
                                 const std::string& build, const Heirs& heirs,
                                 const ShapedTable& state, const std::function<void()>& copied) {
  WEIR_TRY(replace_stages(paths, build, "CONNECT", heirs));
  wait_for_packets();
  for (const HandOver& one : tables)
    WEIR_TRY(one.move_.run(*one.from_, one.to_, BPF_ANY, one.made_after(one.copied_ns_)));
  copied();
  WEIR_TRY(replace_stages(paths, build, "ICMP_E", heirs));  // the kernel keeps 15 characters
  WEIR_TRY(bump_epoch(state));
  wait_for_packets();
  for (const HandOver& one : tables) WEIR_TRY(one.merge(heirs.merge));
  return {};
}

}  // namespace weir
