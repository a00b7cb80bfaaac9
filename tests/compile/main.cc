// Registers one test per .case file and order: compile_cases --gtest_filter='node_joins.restart'.
// WEIR_SEED chooses which writes to the maps fail.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "player.h"

namespace weir::cases {
namespace {

namespace fs = std::filesystem;

class CaseTest : public ::testing::Test {
 public:
  CaseTest(std::string path, Order order, std::uint32_t seed)
      : path_(std::move(path)), order_(order), seed_(seed) {}

  void TestBody() override {
    const auto read = read_case(path_, WEIR_CASES);
    ASSERT_TRUE(read) << read.error().text();
    for (const std::string& failure : play(*read, order_, seed_)) {
      ADD_FAILURE() << path_ << ": " << failure << "\nagain with WEIR_SEED=" << seed_;
    }
  }

 private:
  std::string path_;
  Order order_;
  std::uint32_t seed_;
};

void register_cases() {
  const char* given = std::getenv("WEIR_SEED");
  const std::uint32_t seed = given != nullptr
                                 ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10))
                                 : std::random_device()();
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(WEIR_CASES)) {
    if (entry.path().extension() == ".case") files.push_back(entry.path());
  }
  std::ranges::sort(files);
  for (const fs::path& file : files) {
    for (const Order order : kOrders) {
      ::testing::RegisterTest(file.stem().c_str(), std::string(order_name(order)).c_str(), nullptr,
                              nullptr, __FILE__, __LINE__,
                              [path = file.string(), order, seed]() -> CaseTest* {
                                return new CaseTest(path, order, seed);
                              });
    }
  }
}

}  // namespace
}  // namespace weir::cases

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  weir::cases::register_cases();
  return RUN_ALL_TESTS();
}
