// The pickle interpreter on pickles that want more than data.
#include "trainer/checkpoint/pickle_reader.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

at::Tensor read_zeros(const std::string&, at::ScalarType type, std::int64_t numel) {
  return at::zeros({numel}, at::TensorOptions().dtype(type));
}

std::string refusal(const std::string& operations) {
  try {
    read_pickle("\x80\x02" + operations, read_zeros);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

std::string text(const std::string& value) {
  return std::string("X") + std::string{static_cast<char>(value.size()), 0, 0, 0} + value;
}

// A tensor of 4 float32 in storage "0", with `view` = offset, sizes, strides as operations.
std::string tensor(const std::string& view, const std::string& type = "FloatStorage") {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + type + "\n" + text("0") +
         text("cpu") + "K\x04tQ" + view + "\x89" + "ccollections\nOrderedDict\n)RtR.";
}

TEST(PickleReader, BuildsData) {
  EXPECT_EQ(read_pickle(std::string("\x80\x02"
                                    "J\xff\xff\xff\xff."),
                        read_zeros)
                .toInt(),
            -1);
  EXPECT_EQ(read_pickle(std::string("\x80\x02\x8a\x00.", 5), read_zeros).toInt(), 0);
  EXPECT_EQ(read_pickle(std::string("\x80\x02\x8a\x02\x00\x80.", 7), read_zeros).toInt(), -32768);
  EXPECT_EQ(read_pickle(std::string("\x80\x02G?\xf8\0\0\0\0\0\0.", 12), read_zeros).toDouble(), 1.5);
  const auto list = read_pickle(
                        "\x80\x02](K\x01K\x02"
                        "eK\x03"
                        "a.",
                        read_zeros)
                        .toListRef()
                        .vec();
  EXPECT_EQ(list.size(), 3U);
}

// As the state of a scheduler that is made of others: two of them have the same list.
TEST(PickleReader, CopiesAListThatIsUsedTwice) {
  const auto lists = read_pickle(
      "\x80\x02]]q\x01K\x07"
      "aah\x01"
      "a.",
      read_zeros);
  const auto both = lists.toListRef();
  ASSERT_EQ(both.size(), 2U);
  EXPECT_EQ(both[1].toListRef()[0].toInt(), 7);
  EXPECT_FALSE(both[0].is(both[1])) << "not a copy";
  // Each list holds the one before twice: 2^64 values.
  std::string doubled = "]q";
  doubled += '\0';
  for (char i = 1; i <= 40; ++i) {
    doubled += "]q";
    doubled += i;
    for (int twice = 0; twice < 2; ++twice) {
      doubled += "h";
      doubled += static_cast<char>(i - 1);
      doubled += "a";
    }
  }
  EXPECT_THAT(refusal("](" + doubled + "e."), HasSubstr("too much of it is used twice"));
}

TEST(PickleReader, CallsNothing) {
  EXPECT_THAT(refusal("cos\nsystem\n" + text("true") + "\x85R."),
              HasSubstr("it wants a call of os.system, but may hold tensors and plain containers only"));
  EXPECT_THAT(refusal("cbuiltins\neval\n" + text("1") + "\x85R."), HasSubstr("a call of builtins.eval"));
  EXPECT_THAT(refusal("cos\nsystem\n."), HasSubstr("it holds os.system"));
  EXPECT_THAT(refusal("ctorch\nfloat32\n."), HasSubstr("it holds torch.float32"));
  EXPECT_THAT(refusal("cargparse\nNamespace\n)\x81."),
              HasSubstr("an object of argparse.Namespace"));                               // NEWOBJ
  EXPECT_THAT(refusal("(ios\nsystem\n."), HasSubstr("an operation that builds no data"));  // INST
  EXPECT_THAT(refusal("]}b."), HasSubstr("attributes of something that is no dict"));      // BUILD
  EXPECT_THAT(refusal("cos\nsystem\n}b."), HasSubstr("a dict or list is missing"));
  EXPECT_EQ(refusal("}}b."), "accepted");
  EXPECT_EQ(refusal("ccollections\nCounter\n}K\x1eK\x01s\x85R."), "accepted");
  EXPECT_THAT(refusal("ccollections\nCounter\n]\x85R."), HasSubstr("a call of collections.Counter"));
  EXPECT_THAT(refusal("\x82\x01."), HasSubstr("an operation that builds no data"));  // EXT1
  EXPECT_THAT(refusal("ccollections\nOrderedDict\nK\x01\x85R."),
              HasSubstr("a call of collections.OrderedDict"));
}

TEST(PickleReader, RefusesNonsense) {
  const std::vector<std::pair<std::string, std::string>> table{
      {"", "it ends too early"},
      {".", "does not end with one value"},
      {"NN.", "does not end with one value"},
      {"(N.", "does not end with one value"},
      {"X\xff\xff\xff\xffx", "it ends too early"},
      {"cos", "it ends too early"},
      {"a.", "a value is missing"},
      {"K\x01K\x02"
       "a.",
       "a dict or list is missing"},
      {"}K\x01"
       "a.",
       "a list is missing"},
      {"]K\x01K\x02s.", "a dict or one of its values is missing"},
      {"}(K\x01u.", "a dict or one of its values is missing"},
      {"}GxxxxxxxxK\x01s.", "neither a text nor a whole number"},
      {"}K\x01NK\x01Ns"
       "s.",
       "a dict or list is missing"},
      {"}K\x01NsK\x01Ns.", "key is repeated"},
      {"e.", "a mark is missing"},
      {"](a.", "a value is missing"},
      {"h\x05.", "a value that was never stored"},
      {"]q\x01h\x01"
       "a.",
       "a dict or list inside itself"},
      {"]q\x01]h\x01"
       "aa.",
       "a dict or list inside itself"},
      {"N\x85q\x01h\x01\x86.", "one tuple in two places"},
      {"\x8a\x09"
       "123456789.",
       "beyond 64 bits"},
      {"K\x01Q.", "a tuple is missing"},
      {std::string(70, ']') + std::string(69, 'a') + ".", "nests deeper than 64"},
      {"N" + std::string(100000, '\x85') + ".", "nests deeper than 64"},
  };
  for (const auto& [operations, expected] : table)
    EXPECT_THAT(refusal(operations), HasSubstr(expected)) << operations;
  EXPECT_THAT([] { read_pickle("\x80\x05N.", read_zeros); },
              testing::ThrowsMessage<DataError>(HasSubstr("another protocol than 2")));
}

TEST(PickleReader, KeepsTensorsInsideTheirStorage) {
  EXPECT_EQ(refusal(tensor("K\x01K\x03\x85K\x01\x85")), "accepted");                // 1 + 3 of 4
  EXPECT_EQ(refusal(tensor(std::string("K\x04K\0\x85K\x01\x85", 8))), "accepted");  // empty, at the end
  EXPECT_EQ(refusal(tensor("K\x01))")), "accepted");                                // a scalar
  const std::vector<std::string> beyond{
      "K\x02K\x03\x85K\x01\x85",              // 2 + 3 of 4
      "K\x01K\x02\x85K\x03\x85",              // stride
      "J\xff\xff\xff\xffK\x01\x85K\x01\x85",  // offset -1
      "K\x04))",                              // a scalar behind the end
      "K\x01K\x02K\x02\x86K\x01\x85",         // sizes and strides differ in number
  };
  for (const std::string& view : beyond) EXPECT_THAT(refusal(tensor(view)), HasSubstr("beyond its storage"));
  // 2^40 elements on one number: stride 0 stays inside, but nobody saves that.
  EXPECT_THAT(refusal(tensor(std::string("K\x01\x8a\x06") + std::string("\0\0\0\0\0\x01", 6) +
                             std::string("\x85K\0\x85", 4))),
              HasSubstr("beyond its storage"));
  // 2^32 * 2^32 elements are 0 in 64 bits.
  const std::string huge = std::string("\x8a\x05") + std::string("\0\0\0\0\x01", 5);
  EXPECT_THAT(refusal(tensor("K\x01" + huge + huge + "\x86K\x01K\x01\x86")), HasSubstr("beyond its storage"));
  EXPECT_THAT(refusal(tensor("K\x01J\xff\xff\xff\xff\x85K\x01\x85")), HasSubstr("a negative size or stride"));
  EXPECT_THAT(refusal(tensor("K\x01))", "EvilStorage")), HasSubstr("storage type 'torch EvilStorage'"));
}

}  // namespace
}  // namespace lockstep
