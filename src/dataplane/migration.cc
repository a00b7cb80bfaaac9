#include "dataplane/migration.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

namespace weir {
namespace {

constexpr std::string_view kConnections = "weir_ct";
constexpr std::string_view kState = "weir_state";
// Its rows are of so many slots as a setting says, and are written again with the first list.
constexpr std::string_view kRings = "weir_ring_slot";

bool forgets_oldest(std::uint32_t type) {
  return type == BPF_MAP_TYPE_LRU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

// Of programs, where a source port is claimed.
constexpr std::array kEarlier = {"weir_before_0", "weir_before_1"};

// Connections of before, until they are taken over: programs that are attached use one of these.
constexpr std::string_view kLeft = "old-weir_ct";

std::vector<std::string> left_pins(const PinPaths& paths) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths.maps(), ignored)) {
    if (entry.path().filename().string().starts_with(kLeft)) found.push_back(entry.path());
  }
  return found;
}

std::string free_left_pin(const PinPaths& paths) {
  std::string path = paths.maps() + "/" + std::string(kLeft);
  while (access(path.c_str(), F_OK) == 0) path += "-before";
  return path;
}

// The table in which connections may begin already, while another one is left.
std::string begun_pin(const PinPaths& paths) { return paths.maps() + "/begun-weir_ct"; }

// An earlier build must not be taken for complete once its tables are not the pinned ones.
void make_incomplete(const PinPaths& paths) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths.root, ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("progs-")) unlink((entry.path().string() + "/sweep").c_str());
  }
}

std::uint32_t map_id(int fd) {
  bpf_map_info info{};
  __u32 size = sizeof info;
  return bpf_map_get_info_by_fd(fd, &info, &size) == 0 ? info.id : 0;
}

}  // namespace

Migration Migration::begin(const PinPaths& paths) {
  Migration out;
  if (const auto begun = open_pin(begun_pin(paths))) out.begun_ = map_id(begun->get());
  const auto now = open_pin(paths.maps() + "/" + std::string(kConnections));
  for (const std::string& path : left_pins(paths)) {
    auto left = open_pin(path);
    // An agent died between the two pins of one table.
    if (!left || (now && map_id(now->get()) == map_id(left->get()))) continue;
    if (auto table = ShapedTable::open(std::move(*left)))
      out.left_.push_back(std::make_unique<ShapedTable>(std::move(*table)));
  }
  return out;
}

bool Migration::hands_over() const { return find(kConnections) != nullptr || !left_.empty(); }

void Migration::add(std::string name, ShapedTable pinned) {
  Replaced& one = replaced_.emplace_back();
  one.name = std::move(name);
  one.old = std::make_unique<ShapedTable>(std::move(pinned));
}

const Migration::Replaced* Migration::find(std::string_view name) const {
  const auto found = std::ranges::find(replaced_, name, &Replaced::name);
  return found == replaced_.end() ? nullptr : &*found;
}

// An agent that died before it took over has left a table that nothing has begun in.
bool Migration::is_used(const Replaced& connections) const {
  return left_.empty() || (begun_ != 0 && begun_ == map_id(connections.old->fd()));
}

// In which connections may begin. Of more than programs look at, agents died in a row.
std::vector<int> Migration::earlier_connections() const {
  std::vector<int> tables;
  if (const Replaced* now = find(kConnections); now != nullptr && is_used(*now))
    tables.push_back(now->old->fd());
  for (const auto& left : left_) tables.push_back(left->fd());
  if (tables.size() > kEarlier.size()) tables.resize(kEarlier.size());
  return tables;
}

Result<void> Migration::shape(const bpf_object* object) const {
  const auto tables = earlier_connections();
  for (std::size_t i = 0; i < tables.size(); ++i) {
    bpf_map* map = bpf_object__find_map_by_name(object, kEarlier.at(i));
    if (const int err = bpf_map__set_inner_map_fd(map, tables[i]); err != 0)
      return errno_error(-err, fmt::format("map {}", kEarlier.at(i)));
  }
  return {};
}

Result<void> Migration::show_earlier(const bpf_object* object) const {
  const std::uint32_t zero = 0;
  const auto tables = earlier_connections();
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const int map = bpf_map__fd(bpf_object__find_map_by_name(object, kEarlier.at(i)));
    if (bpf_map_update_elem(map, &zero, &tables[i], BPF_ANY) != 0)
      return errno_error(errno, fmt::format("map {}", kEarlier.at(i)));
  }
  return {};
}

void Migration::hide_earlier(const bpf_object* object) {
  const std::uint32_t zero = 0;
  for (const char* name : kEarlier)
    bpf_map_delete_elem(bpf_map__fd(bpf_object__find_map_by_name(object, name)), &zero);
}

Result<void> Migration::copy(const bpf_object* object, Remarks& remarks) {
  for (Replaced& one : replaced_) {
    const bpf_map* map = bpf_object__find_map_by_name(object, one.name.c_str());
    one.made = Fd(fcntl(bpf_map__fd(map), F_DUPFD_CLOEXEC, 0));
    if (!one.made) return errno_error(errno, "map " + one.name);
    if (one.name == kRings) continue;
    auto copied = copy_one(one, TableShape::of(object, map), remarks);
    if (!copied) return copied.error().within("map " + one.name);
  }
  return copy_left(object);
}

Result<void> Migration::copy_left(const bpf_object* object) {
  const bpf_map* map = bpf_object__find_map_by_name(object, std::string(kConnections).c_str());
  for (const auto& left : left_) {
    auto hand_over = HandOver::plan(*left, bpf_map__fd(map), TableShape::of(object, map));
    if (!hand_over) continue;
    WEIR_TRY(hand_over->copy_missing());
    hand_overs_.push_back(std::move(*hand_over));
  }
  return {};
}

Result<void> Migration::copy_one(Replaced& one, const TableShape& wanted, Remarks& remarks) {
  const bool connections = one.name == kConnections;
  one.move = TableMove::plan(*one.old, wanted);
  std::optional<HandOver> hand_over;
  if (connections) hand_over = HandOver::plan(*one.old, one.made.get(), wanted);
  if (!one.move || (connections && !hand_over)) {
    remarks.warnings.push_back(
        fmt::format("map {}: its layout or capacity changed, its content is lost", one.name));
    return {};
  }
  WEIR_ASSIGN(const TableMove::Count count,
              connections ? hand_over->copy() : one.move->run(*one.old, one.made.get(), BPF_ANY));
  if (hand_over) hand_overs_.push_back(std::move(*hand_over));
  if (count.left != 0) {
    remarks.warnings.push_back(fmt::format("map {}: it is smaller now, {} of its {} rows are lost",
                                           one.name, count.left, count.moved + count.left));
  } else {
    remarks.notes.push_back(
        fmt::format("map {}: its layout or capacity changed, its {} rows were taken along",
                    one.name, count.moved));
  }
  return {};
}

Result<void> Migration::keep_left(const Replaced& connections, const PinPaths& paths) const {
  return is_used(connections) ? weir::pin(connections.old->fd(), free_left_pin(paths))
                              : Result<void>();
}

Result<void> Migration::pin(const PinPaths& paths) {
  if (!replaced_.empty()) make_incomplete(paths);
  const Replaced* connections = find(kConnections);
  if (connections != nullptr && !hand_overs_.empty()) WEIR_TRY(keep_left(*connections, paths));
  for (const Replaced& one : replaced_) {
    const std::string path = paths.maps() + "/" + one.name;
    const std::string beside = paths.maps() + "/new-" + one.name;
    unlink(beside.c_str());
    WEIR_TRY(weir::pin(one.made.get(), beside));
    if (std::rename(beside.c_str(), path.c_str()) != 0) return errno_error(errno, "pin " + path);
  }
  return {};
}

Result<void> Migration::take_over(const bpf_object* object, const PinPaths& paths,
                                  const std::string& build) {
  auto taken = hand_overs_.empty() ? Result<void>() : hand_over(object, paths, build);
  // An agent that lives goes on with what it has got.
  for (const std::string& path : left_pins(paths)) unlink(path.c_str());
  unlink(begun_pin(paths).c_str());
  return taken;
}

Result<void> Migration::hand_over(const bpf_object* object, const PinPaths& paths,
                                  const std::string& build) {
  const auto program = [object](const char* name) {
    return bpf_program__fd(bpf_object__find_program_by_name(object, name));
  };
  const HandOver::Heirs heirs{
      .in = program("heir_in"), .out = program("heir_out"), .merge = program("ct_merge")};
  WEIR_ASSIGN(Fd pinned, open_pin(paths.maps() + "/" + std::string(kState)));
  WEIR_ASSIGN(const ShapedTable shared, ShapedTable::open(std::move(pinned)));
  const bpf_map* map = bpf_object__find_map_by_name(object, std::string(kConnections).c_str());
  unlink(begun_pin(paths).c_str());
  WEIR_TRY(weir::pin(bpf_map__fd(map), begun_pin(paths)));
  const Replaced* state = find(kState);
  WEIR_TRY(show_earlier(object));
  const auto hide = [object] { hide_earlier(object); };
  auto taken = HandOver::take_over(hand_overs_, paths, build, heirs,
                                   state != nullptr ? *state->old : shared, hide);
  if (!taken) hide();
  return taken;
}

void Migration::finish() {
  for (const Replaced& one : replaced_) {
    if (one.move && forgets_oldest(one.old->shape().type))
      (void)one.move->run(*one.old, one.made.get(), BPF_NOEXIST);
  }
  *this = Migration();
}

}  // namespace weir
