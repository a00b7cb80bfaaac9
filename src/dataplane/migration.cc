#include "dataplane/migration.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
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

// An earlier build must not be taken for complete once its tables are not the pinned ones.
void make_incomplete(const PinPaths& paths, const std::string& build) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(paths.root, ignored)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with("progs-") || entry.path() == paths.programs(build)) continue;
    unlink((entry.path().string() + "/sweep").c_str());
  }
}

}  // namespace

void Migration::add(std::string name, ShapedTable pinned) {
  Replaced& one = replaced_.emplace_back();
  one.name = std::move(name);
  one.old = std::make_unique<ShapedTable>(std::move(pinned));
}

const Migration::Replaced* Migration::find(std::string_view name) const {
  const auto found = std::ranges::find(replaced_, name, &Replaced::name);
  return found == replaced_.end() ? nullptr : &*found;
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
  return {};
}

Result<void> Migration::copy_one(Replaced& one, const TableShape& wanted, Remarks& remarks) {
  const bool connections = one.name == kConnections;
  one.move = TableMove::plan(*one.old, wanted);
  if (connections) hand_over_ = HandOver::plan(*one.old, one.made.get(), wanted);
  if (!one.move || (connections && !hand_over_)) {
    remarks.warnings.push_back(
        fmt::format("map {}: its layout or capacity changed, its content is lost", one.name));
    return {};
  }
  WEIR_ASSIGN(const TableMove::Count count,
              connections ? hand_over_->copy() : one.move->run(*one.old, one.made.get(), BPF_ANY));
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

Result<void> Migration::pin(const PinPaths& paths, const std::string& build) {
  if (!replaced_.empty()) make_incomplete(paths, build);
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
  if (!hand_over_) return {};
  const auto program = [object](const char* name) {
    return bpf_program__fd(bpf_object__find_program_by_name(object, name));
  };
  const HandOver::Heirs heirs{
      .in = program("heir_in"), .out = program("heir_out"), .merge = program("ct_merge")};
  const Replaced* state = find(kState);
  if (state != nullptr) {
    WEIR_TRY(hand_over_->take_over(paths, build, heirs, *state->old));
    return {};
  }
  WEIR_ASSIGN(Fd pinned, open_pin(paths.maps() + "/" + std::string(kState)));
  WEIR_ASSIGN(const ShapedTable shared, ShapedTable::open(std::move(pinned)));
  WEIR_TRY(hand_over_->take_over(paths, build, heirs, shared));
  return {};
}

void Migration::finish() {
  for (const Replaced& one : replaced_) {
    if (one.move && forgets_oldest(one.old->shape().type))
      (void)one.move->run(*one.old, one.made.get(), BPF_NOEXIST);
  }
  hand_over_.reset();
  replaced_.clear();
}

}  // namespace weir
