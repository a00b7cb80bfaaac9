#include "sys/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace weir {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/weir-files-XXXXXX";
    folder_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(Files, AnAtomicWriteLeavesOnlyTheFile) {
  const auto path = folder_ + "/x.json";
  ASSERT_TRUE(write_file_atomic(path, "one"));
  ASSERT_TRUE(write_file_atomic(path, "two"));
  EXPECT_EQ(*read_file(path), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  struct stat st{};
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0600U);
}

TEST_F(Files, ReadingSaysWhatIsWrong) {
  EXPECT_EQ(read_file(folder_ + "/none").error().code(), Code::kNotFound);
  ASSERT_TRUE(write_file_atomic(folder_ + "/big", std::string(5000, 'x')));
  EXPECT_EQ(read_file(folder_ + "/big", 4999).error().code(), Code::kInvalid);
  EXPECT_EQ(read_file(folder_ + "/big", 5000)->size(), 5000U);
}

TEST_F(Files, DirectoriesAreMadeAndListed) {
  ASSERT_TRUE(make_dirs(folder_ + "/a/b"));
  ASSERT_TRUE(make_dirs(folder_ + "/a/b"));
  ASSERT_TRUE(write_file_atomic(folder_ + "/a/.hidden", ""));
  ASSERT_TRUE(write_file_atomic(folder_ + "/a/0", ""));
  EXPECT_EQ(*list_dir(folder_ + "/a"), (std::vector<std::string>{"0", "b"}));
  EXPECT_TRUE(list_dir(folder_ + "/none")->empty());
  ASSERT_TRUE(remove_temporaries(folder_ + "/a"));
  EXPECT_EQ(read_file(folder_ + "/a/.hidden").error().code(), Code::kNotFound);
  EXPECT_TRUE(read_file(folder_ + "/a/0"));
}

TEST_F(Files, TemporariesThatAreWrittenNowStayWhereOthersWrite) {
  for (const char* name : {"/.old", "/.new", "/old"}) {
    ASSERT_TRUE(write_file_atomic(folder_ + name, ""));
  }
  const auto long_ago = std::filesystem::file_time_type::clock::now() - std::chrono::minutes(2);
  for (const char* name : {"/.old", "/old"}) {
    std::filesystem::last_write_time(folder_ + name, long_ago);
  }
  ASSERT_TRUE(remove_temporaries(folder_, std::chrono::minutes(1)));
  EXPECT_FALSE(read_file(folder_ + "/.old"));
  EXPECT_TRUE(read_file(folder_ + "/.new"));
  EXPECT_TRUE(read_file(folder_ + "/old"));
}

TEST_F(Files, ALockHasOneHolder) {
  const auto path = folder_ + "/pid";
  {
    const auto lock = LockFile::acquire(path);
    ASSERT_TRUE(lock);
    const auto second = LockFile::acquire(path);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), Code::kExists);
    EXPECT_NE(second.error().text().find(std::to_string(getpid())), std::string::npos);
  }
  EXPECT_TRUE(LockFile::acquire(path));
}

}  // namespace
}  // namespace weir
