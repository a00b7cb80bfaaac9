// Doubts 1 and 5b: connection key of 16 or 40 bytes, alignment of the element, preallocation.
// Usage: ct_key [ROUNDS]
#include "doubt.h"

namespace {

enum KeyKind { kFull40, kV4, kHash16 };

struct Layout {
  unsigned value_size, paths_at, path_step, packets_at, bytes_at, counts_step;
};
// head 32 bytes, paths 2 x 40, packets 2 x 8, bytes 2 x 8, times, translation, peer key.
constexpr Layout kAsWritten{224, 4, 5, 14, 16, 1};
constexpr Layout kPadded{232, 4, 5, 14, 16, 1};
// head 32 bytes, then per direction {packets, bytes, path}.
constexpr Layout kGrouped{232, 6, 7, 4, 5, 7};

struct Variant {
  const char* name;
  KeyKind key;
  Layout layout;
  bool prealloc;
};
constexpr Layout resized(Layout l, unsigned size) {
  l.value_size = size;
  return l;
}
const Variant kVariants[] = {
    {"40 B key, value 224 (312 B element)", kFull40, kAsWritten, true},
    {"40 B key, value 232 (320 B, on cache lines)", kFull40, kPadded, true},
    {"40 B key, 232, hot fields of a direction together", kFull40, kGrouped, true},
    {"16 B key, IPv4 only, value 224 (288 B)", kV4, kAsWritten, true},
    {"16 B key, IPv4 only, 256 (320 B), hot together", kV4, resized(kGrouped, 256), true},
    {"16 B hash of the tuple, 256 (320 B), hot together", kHash16, resized(kGrouped, 256), true},
    {"40 B key, 232, hot together, BPF_F_NO_PREALLOC", kFull40, kGrouped, false},
};

struct Loaded {
  bpf_object* object;
  int only_key, lookup, insert_delete;
};

Loaded load(const char* path, const Variant& v, unsigned flows, unsigned capacity) {
  bpf_object* object = bpf_object__open_file(path, nullptr);
  if (!object) doubt::die("open");
  bpf_map* table = bpf_object__find_map_by_name(object, "table");
  bpf_map__set_key_size(table, v.key == kFull40 ? 40 : 16);
  bpf_map__set_value_size(table, v.layout.value_size);
  bpf_map__set_max_entries(table, capacity);
  bpf_map__set_map_flags(table, v.prealloc ? 0 : BPF_F_NO_PREALLOC);
  const unsigned cfg[] = {static_cast<unsigned>(v.key), flows - 1,           v.layout.paths_at,
                          v.layout.path_step,           v.layout.packets_at, v.layout.bytes_at,
                          v.layout.counts_step};
  bpf_map* rodata = bpf_object__find_map_by_name(object, ".rodata");
  bpf_map__set_initial_value(rodata, cfg, sizeof cfg);
  if (bpf_object__load(object)) doubt::die("load");
  doubt::test_run(bpf_program__fd(doubt::program(object, "fill")), flows);
  return {object, bpf_program__fd(doubt::program(object, "only_key")),
          bpf_program__fd(doubt::program(object, "lookup")),
          bpf_program__fd(doubt::program(object, "insert_delete"))};
}

struct Size {
  const char* name;
  unsigned flows, capacity, repeat;
};
// One flow; tables half full, in the L3 cache and beyond it.
const Size kSizes[] = {{"1 flow", 1, 65536, 200000},
                       {"64k flows", 1 << 16, 72 << 10, 200000},
                       {"512k flows", 1 << 19, 576 << 10, 200000}};

void measure(const char* path, const Size& size, int rounds) {
  constexpr size_t kCount = std::size(kVariants);
  std::vector<Loaded> loaded;
  for (const Variant& v : kVariants) loaded.push_back(load(path, v, size.flows, size.capacity));
  std::vector<double> samples[kCount][3];
  std::vector<size_t> order(kCount);
  for (size_t i = 0; i < kCount; i++) order[i] = i;
  std::mt19937 random(1);
  for (int round = 0; round < rounds; round++) {
    std::shuffle(order.begin(), order.end(), random);
    for (size_t i : order) {
      const int progs[] = {loaded[i].only_key, loaded[i].lookup, loaded[i].insert_delete};
      for (int p = 0; p < 3; p++) {
        samples[i][p].push_back(doubt::test_run(progs[p], size.repeat));
        usleep(1000);
      }
    }
  }
  std::printf("\n%s (ns, median of %d interleaved rounds; quartiles of lookup)\n", size.name,
              rounds);
  std::printf("%-52s %6s %7s %16s %14s\n", "", "key", "lookup", "quartiles", "insert+delete");
  for (size_t i = 0; i < kCount; i++) {
    const doubt::Stats s[] = {doubt::stats(samples[i][0]), doubt::stats(samples[i][1]),
                              doubt::stats(samples[i][2])};
    std::printf("%-52s %6.1f %7.1f   %6.1f - %6.1f %14.1f\n", kVariants[i].name, s[0].median,
                s[1].median, s[1].low, s[1].high, s[2].median);
    bpf_object__close(loaded[i].object);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 21;
  libbpf_set_print(doubt::quiet);
  doubt::take_cpu(1);
  const std::string path = doubt::object_path(argv[0], "ct_key");
  for (const Size& size : kSizes) measure(path.c_str(), size, rounds);
}
