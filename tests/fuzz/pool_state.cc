// pools.json as an agent finds it at its start: it is refused, or the pools that take it are whole.
#include "sandbox/pool_state.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

constexpr std::uint64_t kNow = 1'000'000'000'000;

void expect(bool what) {
  if (!what) std::abort();
}

// What was freed rests, once; all else can be given.
void take(const char* range, const weir::PoolState& state) {
  weir::CidrPool pool(*weir::Cidr::parse(range),
                      {.now = [] { return kNow; }, .note = [](auto&) {}});
  pool.restore_resting(state.resting);
  const auto before = pool.use();
  expect(before.used == 0 && before.resting <= before.size);
  pool.restore_resting(state.resting);
  expect(pool.use().resting == before.resting);
  for (std::uint64_t number = 0; number < before.size; ++number) {
    const auto owner = std::to_string(number);
    const auto given = pool.allocate(owner, {});
    expect(given && pool.restore(owner, *given) && pool.use().used == number + 1);
  }
  expect(!pool.allocate("one more", {}));
  expect(pool.use().resting == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto state = weir::parse_pool_state({reinterpret_cast<const char*>(data), size});
  if (!state) {
    expect(!state.error().text().empty());
    return 0;
  }
  expect(state->next_handle > 0);
  for (const char* range : {"10.244.0.0/28", "fd00:244::/124"}) take(range, *state);
  return 0;
}
