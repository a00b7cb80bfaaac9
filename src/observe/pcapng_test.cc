#include "observe/pcapng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "abi/drops.h"
#include "abi/hooks.h"
#include "observe/capture_writer.h"

namespace weir {
namespace {

using testing::HasSubstr;

std::string hex(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    char pair[3];
    std::snprintf(pair, sizeof pair, "%02x", static_cast<unsigned char>(c));
    out += pair;
  }
  return out;
}

// 10.244.0.5 -> 10.244.1.7, UDP 1000 -> 53, no payload.
constexpr std::array<std::uint8_t, 42> kFrame = {
    2, 0,  0,  0,    0,    1,  2,   0, 0, 0,  0,   2, 8, 0, 0x45, 0, 0,  28, 0, 0, 0,
    0, 64, 17, 0x65, 0xd1, 10, 244, 0, 5, 10, 244, 1, 7, 3, 0xe8, 0, 53, 0,  8, 0, 0};

std::string record(std::uint32_t ifindex, std::uint8_t hook, std::uint8_t reason) {
  const weir_captured header{
      .time_ns = 1'500'000'000,
      .length = 100,
      .captured = kFrame.size(),
      .ifindex = ifindex,
      .hook = hook,
      .out = reason != 0 ? std::uint8_t{WEIR_OUT_NONE} : std::uint8_t{WEIR_OUT_LOCAL},
      .reason = reason,
      .capture = 0};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.append(reinterpret_cast<const char*>(kFrame.data()), kFrame.size());
  return bytes;
}

CaptureWriter writer() {
  return CaptureWriter([](std::uint32_t ifindex) { return ifindex == 7 ? "shop/cart" : "eth0"; },
                       [](const Address& address) {
                         return address.to_string() == "10.244.0.5" ? std::string("shop/cart")
                                                                    : std::string();
                       },
                       WallClock([] { return std::int64_t{1'700'000'000'000'000'000}; }));
}

std::string capture(std::string_view node) {
  CaptureWriter made = writer();
  std::string out;
  made.append_start(out, node);
  for (const std::string& one :
       {record(7, WEIR_HOOK_FROM_POD, 0), record(9, WEIR_HOOK_FROM_NET, WEIR_DROP_NO_ROUTE),
        record(7, WEIR_HOOK_FROM_POD, 0)}) {
    EXPECT_TRUE(made.append(std::as_bytes(std::span(one)), out));
  }
  return out;
}

std::string tshark(const std::string& bytes, const std::string& fields) {
  char path[] = "/tmp/weir-pcapng-XXXXXX";
  const int fd = mkstemp(path);
  std::ofstream(path) << bytes;
  const std::string command =
      "tshark -n -r " + std::string(path) + " -T fields -E separator='|' " + fields + " 2>&1";
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 512> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
    if (std::strncmp(buffer.data(), "Running as user", 15) != 0) output += buffer.data();
  }
  pclose(pipe);
  unlink(path);
  close(fd);
  return output;
}

TEST(Pcapng, InterfaceBlockIsByteForByteAsTheFormatSays) {
  std::string out;
  pcapng::append_interface(out, "a", "", 2048);
  EXPECT_EQ(hex(out),
            "01000000"
            "28000000"
            "01000000"
            "00080000"
            "0200010061000000"
            "0900010009000000"
            "00000000"
            "28000000");
}

TEST(Pcapng, PacketBlockPadsDataAndComment) {
  const std::array<std::byte, 3> data = {std::byte{1}, std::byte{2}, std::byte{3}};
  std::string out;
  pcapng::append_packet(
      out, {.interface = 2, .time_ns = 0x100000002, .length = 9, .data = data, .comment = "hello"});
  EXPECT_EQ(hex(out),
            "06000000"
            "34000000"
            "02000000"
            "01000000"
            "02000000"
            "03000000"
            "09000000"
            "01020300"
            "0100050068656c6c6f000000"
            "00000000"
            "34000000");
}

TEST(CaptureWriter, RefusesShortRecords) {
  CaptureWriter made = writer();
  std::string out;
  const std::string whole = record(7, 0, 0);
  for (const std::size_t size : {std::size_t{0}, sizeof(weir_captured) - 1, whole.size() - 1}) {
    EXPECT_FALSE(made.append(std::as_bytes(std::span(whole).first(size)), out)) << size;
  }
  EXPECT_TRUE(out.empty());
}

TEST(CaptureWriter, TsharkReadsNamesCommentsAndTimes) {
  if (std::system("command -v tshark >/dev/null") != 0) GTEST_SKIP() << "no tshark";
  const std::string seen = tshark(capture("n0"),
                                  "-e frame.interface_name -e frame.time_epoch -e frame.len "
                                  "-e ip.src -e udp.dstport -e frame.comment");
  EXPECT_EQ(seen,
            "shop/cart from_pod|1700000001.500000000|100|10.244.0.5|53|"
            "shop/cart → 10.244.1.7, from_pod forwarded: local\n"
            "eth0 from_net|1700000001.500000000|100|10.244.0.5|53|"
            "shop/cart → 10.244.1.7, from_net dropped NO_ROUTE: no route to the destination\n"
            "shop/cart from_pod|1700000001.500000000|100|10.244.0.5|53|"
            "shop/cart → 10.244.1.7, from_pod forwarded: local\n");
}

TEST(PcapngMerger, InterleavesStreamsCutAnywhere) {
  if (std::system("command -v tshark >/dev/null") != 0) GTEST_SKIP() << "no tshark";
  const std::string streams[] = {capture("n0"), capture("n1")};
  for (const std::size_t step : {std::size_t{1}, std::size_t{7}, std::size_t{100}}) {
    pcapng::Merger merger;
    std::string out;
    for (std::size_t at = 0; at < streams[0].size(); at += step) {
      for (const std::size_t i : {0U, 1U}) {
        ASSERT_TRUE(merger.feed(i, std::string_view(streams[i]).substr(at, step), out));
      }
    }
    EXPECT_EQ(merger.packets(), 6U);
    EXPECT_EQ(tshark(out, "-e frame.interface_id -e frame.interface_name"),
              "0|shop/cart from_pod\n1|shop/cart from_pod\n2|eth0 from_net\n3|eth0 from_net\n"
              "0|shop/cart from_pod\n1|shop/cart from_pod\n");
  }
}

TEST(PcapngMerger, RefusesNonsense) {
  const std::string good = capture("n0");
  std::string short_length = good;
  short_length[4] = 4;
  short_length[5] = 0;
  std::string no_interface;
  pcapng::append_section(no_interface, "", "");
  pcapng::append_packet(no_interface, {});
  for (const std::string& bytes : {short_length, no_interface, std::string(64, 'x')}) {
    pcapng::Merger merger;
    std::string out;
    EXPECT_FALSE(merger.feed(0, bytes, out));
  }
}

}  // namespace
}  // namespace weir
