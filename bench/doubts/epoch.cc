// Doubt 2: the cost of one epoch read and compare per packet. Usage: epoch [ROUNDS]
#include "doubt.h"

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 41;
  libbpf_set_print(doubt::quiet);
  doubt::take_cpu(1);
  bpf_object* object = bpf_object__open_file(doubt::object_path(argv[0], "epoch").c_str(), nullptr);
  if (!object || bpf_object__load(object)) doubt::die("load epoch");
  const auto fd = [&](const char* name) { return bpf_program__fd(doubt::program(object, name)); };
  doubt::test_run(fd("setup"), 1);

  const char* names[] = {"none", "by_global", "by_array", "restamp"};
  std::vector<double> samples[4], over_none[4];
  std::vector<size_t> order{0, 1, 2, 3};
  std::mt19937 random(1);
  for (int round = 0; round < rounds; round++) {
    std::shuffle(order.begin(), order.end(), random);
    for (size_t i : order) {
      samples[i].push_back(doubt::test_run(fd(names[i]), 300000));
      usleep(1000);
    }
    for (size_t i = 0; i < 4; i++) over_none[i].push_back(samples[i].back() - samples[0].back());
  }
  std::printf("%-10s %8s %18s %22s\n", "", "ns", "quartiles", "over none, per round");
  for (size_t i = 0; i < 4; i++) {
    const doubt::Stats s = doubt::stats(samples[i]), d = doubt::stats(over_none[i]);
    std::printf("%-10s %8.1f   %6.1f - %6.1f   %+6.1f (%+.1f - %+.1f)\n", names[i], s.median, s.low,
                s.high, d.median, d.low, d.high);
  }
}
