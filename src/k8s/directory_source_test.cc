#include "k8s/directory_source.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "k8s/json.h"

namespace weir {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// What a reader of the changes holds, and what it was told.
class Recorder final : public Sink {
 public:
  void change(Change change) override {
    if (const auto* upsert = std::get_if<Upsert>(&change)) {
      objects.insert_or_assign(key_of(upsert->object).to_string(), upsert->object);
    } else {
      objects.erase(std::get<Erase>(change).key.to_string());
    }
    ++changes;
  }
  void synced() override { ++syncs; }
  void warning(std::string_view text) override { warnings.emplace_back(text); }

  std::map<std::string, Object> objects;
  std::vector<std::string> warnings;
  int changes = 0;
  int syncs = 0;
};

class DirectorySourceTest : public ::testing::Test {
 protected:
  DirectorySourceTest() {
    std::string name = (fs::temp_directory_path() / "weir-objects-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~DirectorySourceTest() override { fs::remove_all(root_); }

  void start() {
    const auto started = source().start(sink_);
    ASSERT_TRUE(started) << started.error().text();
  }
  DirectorySource& source() {
    if (!source_) source_ = std::make_unique<DirectorySource>(root_.string());
    return *source_;
  }
  void write(const std::string& path, const std::string& content) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << content;
  }
  void rename_into_place(const Object& object) {
    const fs::path path = root_ / object_path(kind_of(object), key_of(object));
    fs::create_directories(path.parent_path());
    const fs::path hidden = path.parent_path() / ".new";
    std::ofstream(hidden) << to_json(object);
    fs::rename(hidden, path);
  }
  // Until the source has said all it has to say.
  void settle() {
    while (source().poll(std::chrono::milliseconds(0))) {
    }
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& [name, object] : sink_.objects) out.push_back(name);
    return out;
  }
  static Object pod(const char* name, const char* node = "n0") {
    Pod out;
    out.namespace_ = "shop";
    out.name = name;
    out.node = node;
    return out;
  }

  fs::path root_;
  Recorder sink_;
  std::unique_ptr<DirectorySource> source_;
};

TEST_F(DirectorySourceTest, AMissingDirectoryIsAnError) {
  fs::remove_all(root_);
  EXPECT_EQ(source().start(sink_).error().code(), Code::kNotFound);
}

TEST_F(DirectorySourceTest, SyncedComesOnceAfterTheFirstList) {
  rename_into_place(pod("cart-0"));
  rename_into_place(Node{"n0", {}, {}});
  start();
  EXPECT_THAT(names(), UnorderedElementsAre("shop/cart-0", "n0"));
  EXPECT_EQ(sink_.syncs, 1);
  rename_into_place(pod("cart-1"));
  settle();
  EXPECT_EQ(sink_.syncs, 1);
}

TEST_F(DirectorySourceTest, FollowsChangesInFoldersThatDidNotExist) {
  start();
  rename_into_place(pod("cart-0"));
  settle();
  EXPECT_THAT(names(), ElementsAre("shop/cart-0"));
  rename_into_place(pod("cart-0", "n1"));
  settle();
  EXPECT_EQ(std::get<Pod>(sink_.objects.at("shop/cart-0")).node, "n1");
  fs::remove(root_ / "Pod/shop/cart-0.json");
  settle();
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_EQ(sink_.changes, 3);
}

TEST_F(DirectorySourceTest, AWholeFolderMayGoAndComeBack) {
  rename_into_place(pod("cart-0"));
  rename_into_place(pod("cart-1"));
  start();
  fs::rename(root_ / "Pod", root_ / "away");
  settle();
  EXPECT_THAT(names(), IsEmpty());
  fs::rename(root_ / "away", root_ / "Pod");
  settle();
  EXPECT_THAT(names(), UnorderedElementsAre("shop/cart-0", "shop/cart-1"));
  fs::remove_all(root_ / "Pod");
  settle();
  EXPECT_THAT(names(), IsEmpty());
  rename_into_place(pod("cart-2"));
  settle();
  EXPECT_THAT(names(), ElementsAre("shop/cart-2"));
}

TEST_F(DirectorySourceTest, AWrongFileIsOneWarningAndTheOldValueStays) {
  rename_into_place(pod("cart-0"));
  start();
  write("Pod/shop/cart-0.json", R"({"kind":"Pod","metad)");
  settle();
  write("Pod/shop/cart-0.json", R"({"kind":"Pod","metad)");
  settle();
  EXPECT_THAT(sink_.warnings, ElementsAre(HasSubstr("Pod/shop/cart-0.json: not JSON: ")));
  EXPECT_THAT(names(), ElementsAre("shop/cart-0"));
  rename_into_place(pod("cart-0", "n1"));
  settle();
  EXPECT_EQ(std::get<Pod>(sink_.objects.at("shop/cart-0")).node, "n1");
  EXPECT_EQ(sink_.warnings.size(), 1U);
}

TEST_F(DirectorySourceTest, AHalfWrittenFileIsReadWhenItIsClosed) {
  rename_into_place(pod("other"));
  start();
  const std::string json = to_json(pod("cart-0"));
  std::ofstream file(root_ / "Pod/shop/cart-0.json");
  file << json.substr(0, 10) << std::flush;
  settle();
  EXPECT_THAT(names(), ElementsAre("shop/other"));
  file << json.substr(10);
  file.close();
  settle();
  EXPECT_THAT(names(), ElementsAre("shop/cart-0", "shop/other"));
  EXPECT_THAT(sink_.warnings, IsEmpty());
}

TEST_F(DirectorySourceTest, AFileUnderTheWrongNameIsIgnored) {
  write("Pod/shop/cart-1.json", to_json(pod("cart-0")));
  write("Pod/_/cart-0.json", to_json(pod("cart-0")));
  write("Sheep/_/dolly.json", "{}");
  write("Pod/shop/notes.txt", "x");
  write("Pod/shop/.hidden.json", "x");
  write("Pod/stray", "x");
  fs::create_directories(root_ / "Pod/shop/folder.json");
  start();
  EXPECT_THAT(names(), IsEmpty());
  EXPECT_THAT(sink_.warnings,
              UnorderedElementsAre(HasSubstr("holds Pod shop/cart-0; it is ignored"),
                                   HasSubstr("folder.json: is not a regular file")));
}

TEST_F(DirectorySourceTest, MoreEventsThanTheQueueHoldsLoseNothing) {
  rename_into_place(pod("keep"));
  rename_into_place(pod("lost"));
  start();
  std::ifstream limit_file("/proc/sys/fs/inotify/max_queued_events");
  int limit = 0;
  limit_file >> limit;
  if (limit > 100000) GTEST_SKIP() << "max_queued_events is " << limit;
  const std::string a = (root_ / "Pod/shop/a.txt").string();
  const std::string b = (root_ / "Pod/shop/b.txt").string();
  std::ofstream(a) << "x";
  for (int i = 0; i < limit / 2; ++i) {  // two events each
    ASSERT_EQ(rename(a.c_str(), b.c_str()), 0);
    ASSERT_EQ(rename(b.c_str(), a.c_str()), 0);
  }
  fs::remove(root_ / "Pod/shop/lost.json");
  rename_into_place(pod("cart-0"));
  settle();
  EXPECT_THAT(names(), ElementsAre("shop/cart-0", "shop/keep"));
}

TEST_F(DirectorySourceTest, PollWaitsNoLongerThanItWasTold) {
  start();
  settle();
  EXPECT_FALSE(source().poll(std::chrono::milliseconds(1)));
}

}  // namespace
}  // namespace weir
