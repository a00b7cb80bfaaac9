#include "k8s/mirror.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// Tells namespaces and what became of them: "+a 3" with its label, "-a".
class Teller final : public Sink {
 public:
  void change(Change change) override {
    if (const auto* upsert = std::get_if<Upsert>(&change)) {
      const auto& one = std::get<Namespace>(upsert->object);
      told.push_back(fmt::format("+{} {}", one.name, one.labels.at("v")));
    } else {
      told.push_back("-" + std::get<Erase>(change).key.name);
    }
  }
  void synced() override {}
  void warning(std::string_view text) override { told.emplace_back(text); }

  std::vector<std::string> told;
};

std::string object(std::string_view name, int version) {
  return fmt::format(
      R"({{"kind":"Namespace","metadata":{{"name":"{}","resourceVersion":"{}","labels":{{"v":"{}"}}}}}})",
      name, version, version);
}

std::string event(std::string_view type, std::string_view name, int version) {
  return fmt::format(R"({{"type":"{}","object":{}}})", type, object(name, version)) + "\n";
}

std::string bookmark(int version, bool ends_list = false) {
  return fmt::format(
             R"({{"type":"BOOKMARK","object":{{"metadata":{{"resourceVersion":"{}"{}}}}}}})",
             version, ends_list ? R"(,"annotations":{"k8s.io/initial-events-end":"true"})" : "") +
         "\n";
}

std::string page(int version, std::string_view token, std::initializer_list<std::string> items) {
  return fmt::format(R"({{"metadata":{{"resourceVersion":"{}","continue":"{}"}},"items":[{}]}})",
                     version, token, fmt::join(items, ","));
}

class MirrorTest : public ::testing::Test {
 protected:
  // A complete list.
  void list(int version, std::initializer_list<std::string> items) {
    mirror_.begin_list();
    const auto token = mirror_.take_page(page(version, "", items));
    ASSERT_TRUE(token) << token.error().text();
    EXPECT_EQ(*token, "");
    EXPECT_FALSE(mirror_.lists());
  }
  std::string take(std::string_view data) {
    const auto taken = mirror_.take(data);
    return taken ? "" : taken.error().text();
  }
  std::vector<std::string> told() { return std::exchange(sink_.told, {}); }

  Teller sink_;
  Mirror mirror_{Kind::kNamespace, sink_};
};

TEST_F(MirrorTest, AListOfNothingMayBeNull) {
  list(10, {object("a", 3)});
  EXPECT_THAT(told(), ElementsAre("+a 3"));
  mirror_.begin_list();
  const auto token = mirror_.take_page(R"({"metadata":{"resourceVersion":"20"},"items":null})");
  ASSERT_TRUE(token) << token.error().text();
  EXPECT_THAT(told(), ElementsAre("-a"));
  EXPECT_FALSE(mirror_.lists());
}

TEST_F(MirrorTest, WhatALaterListDoesNotHaveIsErased) {
  list(10, {object("a", 3), object("b", 4)});
  EXPECT_THAT(told(), ElementsAre("+a 3", "+b 4"));
  list(20, {object("b", 4), object("c", 12)});
  EXPECT_THAT(told(), ElementsAre("+c 12", "-a"));
  EXPECT_EQ(mirror_.version(), 20U);
}

TEST_F(MirrorTest, NothingIsErasedBeforeTheLastPage) {
  list(10, {object("a", 3), object("b", 4)});
  told();
  mirror_.begin_list();
  EXPECT_EQ(*mirror_.take_page(page(20, "next", {object("c", 12)})), "next");
  EXPECT_TRUE(mirror_.lists());
  mirror_.begin_list();  // it broke off
  EXPECT_EQ(*mirror_.take_page(page(21, "next", {object("d", 13)})), "next");
  EXPECT_THAT(told(), ElementsAre("+c 12", "+d 13"));
  EXPECT_EQ(*mirror_.take_page(page(21, "", {object("e", 14)})), "");
  EXPECT_THAT(told(), UnorderedElementsAre("+e 14", "-a", "-b", "-c"));
}

TEST_F(MirrorTest, AListIsOfTheTimeOfItsFirstPage) {
  mirror_.begin_list();
  EXPECT_EQ(*mirror_.take_page(page(20, "next", {object("a", 12)})), "next");
  EXPECT_EQ(*mirror_.take_page(page(25, "", {object("b", 24)})), "");
  EXPECT_EQ(mirror_.version(), 20U);
}

TEST_F(MirrorTest, AStreamedListEndsWithItsBookmark) {
  list(10, {object("a", 3), object("b", 4)});
  told();
  mirror_.begin_list();
  mirror_.begin_stream();
  EXPECT_EQ(take(event("ADDED", "c", 12) + event("ADDED", "b", 4)), "");
  EXPECT_TRUE(mirror_.lists());
  EXPECT_EQ(take(bookmark(20, true) + event("MODIFIED", "b", 21)), "");
  EXPECT_FALSE(mirror_.lists());
  EXPECT_THAT(told(), ElementsAre("+c 12", "-a", "+b 21"));
  EXPECT_EQ(mirror_.version(), 21U);
}

TEST_F(MirrorTest, AnyCutBetweenBytesGivesTheSame) {
  const std::string stream = event("ADDED", "a", 11) + "\n" + event("MODIFIED", "a", 12) +
                             bookmark(13) + event("DELETED", "a", 14);
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    Mirror mirror(Kind::kNamespace, sink_);
    ASSERT_TRUE(mirror.take_page(page(10, "", {})));
    ASSERT_TRUE(mirror.take(std::string_view(stream).substr(0, cut)));
    ASSERT_TRUE(mirror.take(std::string_view(stream).substr(cut)));
    EXPECT_THAT(told(), ElementsAre("+a 11", "+a 12", "-a")) << cut;
    EXPECT_EQ(mirror.version(), 14U);
  }
}

TEST_F(MirrorTest, AnIncompleteLineIsNoEvent) {
  list(10, {});
  EXPECT_EQ(take(event("ADDED", "a", 11).substr(0, 40)), "");
  mirror_.begin_stream();
  EXPECT_EQ(take(event("ADDED", "a", 11)), "");
  EXPECT_THAT(told(), ElementsAre("+a 11"));
}

TEST_F(MirrorTest, WhatWasSaidBeforeIsNotSaidAgain) {
  list(10, {object("a", 3)});
  told();
  EXPECT_EQ(take(event("ADDED", "b", 11) + event("ADDED", "b", 11)), "");
  EXPECT_EQ(take(event("DELETED", "b", 12) + event("DELETED", "b", 12)), "");
  EXPECT_THAT(told(), ElementsAre("+b 11", "-b"));
  list(12, {object("a", 3)});
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(MirrorTest, EventsThatGoBackAreNotBelieved) {
  list(10, {});
  EXPECT_EQ(take(event("ADDED", "a", 12)), "");
  told();
  EXPECT_THAT(take(event("MODIFIED", "b", 11)), HasSubstr("events went back from 12 to 11"));
  EXPECT_THAT(take(bookmark(11)), HasSubstr("went back"));
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(MirrorTest, ALaggingServerIsBelievedWhenItStaysBehind) {
  list(20, {object("a", 13), object("b", 14)});
  told();
  for (int again = 0; again < 5; ++again) {
    mirror_.begin_list();
    const auto taken = mirror_.take_page(page(15, "", {object("a", 3)}));
    EXPECT_THAT(taken.error().text(), HasSubstr("lists what was at 15, but had told of 20"));
    EXPECT_THAT(told(), IsEmpty());
  }
  list(15, {object("a", 3)});
  EXPECT_THAT(told(), ElementsAre("+a 3", "-b"));
  EXPECT_EQ(mirror_.version(), 15U);
}

TEST_F(MirrorTest, TheErrorOfAWatchSaysWhetherToListAnew) {
  list(10, {});
  const auto error = [this](std::string_view status) {
    return mirror_.take(fmt::format(R"({{"type":"ERROR","object":{}}})", status) + "\n").error();
  };
  EXPECT_EQ(error(R"({"code":410,"message":"too old"})").code(), Code::kInvalid);
  EXPECT_EQ(error(R"({"code":410,"message":"too old"})").text(), "the watch ended: 410 too old");
  EXPECT_EQ(error(R"({"code":500})").code(), Code::kUnavailable);
  EXPECT_EQ(error("null").code(), Code::kUnavailable);
}

TEST_F(MirrorTest, ABookmarkThatDoesNotEndAListMeansThatThereAreNone) {
  mirror_.begin_list();
  EXPECT_EQ(mirror_.take(bookmark(10)).error().code(), Code::kNotFound);
}

TEST_F(MirrorTest, GarbageIsNotBelieved) {
  list(10, {object("a", 3)});
  told();
  const std::string lines[] = {
      "text",
      "{}",
      "5",
      R"({"type":"ADDED"})",
      R"({"type":"ADDED","object":null})",
      R"({"type":"BOOKMARK","object":{}})",
      R"({"type":"ADDED","object":{"metadata":{"name":"b"}}})",
      R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"11"}}})",
      R"({"type":"ADDED","object":{"metadata":{"name":"b","resourceVersion":"+11"}}})",
      R"({"type":"DELETED","object":{"metadata":{"name":"a","namespace":"b","resourceVersion":"11"}}})",
      R"({"type":"DELETED","object":{"kind":"Node","metadata":{"name":"a","resourceVersion":"11"}}})",
      R"({"type":"CREATED","object":{"metadata":{"name":"b","resourceVersion":"11"}}})",
  };
  for (const std::string& line : lines) {
    const auto taken = mirror_.take(line + "\n");
    ASSERT_FALSE(taken) << line;
    EXPECT_EQ(taken.error().code(), Code::kInvalid) << line;
  }
  const std::string pages[] = {
      "",
      "[]",
      "{}",
      R"({"metadata":{"resourceVersion":"11"}})",
      R"({"items":[]})",
      R"({"kind":"NodeList","metadata":{"resourceVersion":"11"},"items":[]})",
      R"({"metadata":{"resourceVersion":"11"},"items":[{}]})",
      page(11, "", {object("b", 11), object("", 11)}),
  };
  for (const std::string& text : pages) {
    mirror_.begin_list();
    EXPECT_FALSE(mirror_.take_page(text)) << text;
    EXPECT_TRUE(mirror_.lists()) << text;
  }
  EXPECT_THAT(told(), IsEmpty());
}

TEST_F(MirrorTest, AWrongObjectStaysAsItWas) {
  list(10, {object("a", 3)});
  told();
  EXPECT_EQ(
      take(
          R"({"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"11","labels":5}}})"
          "\n"),
      "");
  EXPECT_THAT(told(), ElementsAre(HasSubstr("the object stays as it was")));
  list(12, {object("a", 11)});
  EXPECT_THAT(told(), IsEmpty());
}

}  // namespace
}  // namespace weir
