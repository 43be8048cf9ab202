#include "trainer/checkpoint/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

// Walks through the JSON without building it: a hostile header costs no more memory than its own size.
class HeaderParser final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<SafetensorsEntry> take_entries() { return std::move(entries_); }

  bool start_object(std::size_t) override {
    if (depth_ >= 2 || in_array_) fail("an object where none belongs");
    if (depth_ == 1 && !in_metadata_) {
      entries_.back().name = key_;
      fields_.clear();
    }
    ++depth_;
    return true;
  }

  bool key(string_t& name) override {
    key_ = name;
    if (depth_ == 1) {
      if (!names_.insert(name).second) fail("it is given twice");
      in_metadata_ = name == "__metadata__";
      if (!in_metadata_) entries_.emplace_back();
    } else if (!in_metadata_) {
      if (name != "dtype" && name != "shape" && name != "data_offsets") fail("unknown field '" + name + "'");
      if (!fields_.insert(name).second) fail("field '" + name + "' is repeated");
    }
    return true;
  }

  bool end_object() override {
    --depth_;
    if (depth_ == 1) {
      if (!in_metadata_ && fields_.size() != 3) fail("one of dtype, shape, data_offsets is missing");
      in_metadata_ = false;
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || key_ == "dtype") fail("a list where none belongs");
    in_array_ = true;
    offsets_.clear();
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    if (key_ == "data_offsets") {
      if (offsets_.size() != 2) fail("data_offsets must be two numbers");
      entries_.back().begin = offsets_[0];
      entries_.back().end = offsets_[1];
    }
    return true;
  }

  bool number_unsigned(number_unsigned_t number) override {
    if (!in_array_) fail("a number where none belongs");
    if (number > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      fail(std::to_string(number) + " is beyond 2^63");
    }
    if (key_ == "shape") {
      entries_.back().shape.push_back(static_cast<std::int64_t>(number));
    } else {
      offsets_.push_back(number);
    }
    return true;
  }

  bool string(string_t& text) override {
    if (depth_ != 2 || in_array_ || (!in_metadata_ && key_ != "dtype")) fail("a text where none belongs");
    if (!in_metadata_) entries_.back().dtype = text;
    return true;
  }

  bool number_integer(number_integer_t number) override {
    return fail(std::to_string(number) + " is negative");
  }
  bool number_float(number_float_t, const string_t& text) override {
    return fail(text + " is no whole number");
  }
  bool null() override { return fail("null where a value belongs"); }
  bool boolean(bool) override { return fail("a truth value where none belongs"); }
  bool binary(binary_t&) override { return fail("binary data"); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    throw DataError("the header is no JSON (at its byte " + std::to_string(position) + ")");
  }

 private:
  bool fail(const std::string& reason) const {
    if (names_.empty()) throw DataError("the header is no JSON object");
    throw DataError("in the header at '" + key_ + "': " + reason);
  }

  std::vector<SafetensorsEntry> entries_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> fields_;  // of the entry being read
  std::vector<std::uint64_t> offsets_;
  std::string key_;
  int depth_ = 0;
  bool in_array_ = false;
  bool in_metadata_ = false;
};

}  // namespace

std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view json) {
  HeaderParser parser;
  if (json.empty() || json.front() != '{') throw DataError("the header is no JSON object");
  nlohmann::json::sax_parse(json.begin(), json.end(), &parser);
  return parser.take_entries();
}

void check_safetensors_layout(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_size_bytes) {
  std::vector<const SafetensorsEntry*> by_place;
  by_place.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) by_place.push_back(&entry);
  std::sort(by_place.begin(), by_place.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
  });
  std::uint64_t covered = 0;
  for (const SafetensorsEntry* entry : by_place) {
    if (entry->begin != covered || entry->end < entry->begin) {
      throw DataError("tensor '" + entry->name + "' lies at bytes " + std::to_string(entry->begin) + " to " +
                      std::to_string(entry->end) + ", but the next byte to be described is " +
                      std::to_string(covered));
    }
    covered = entry->end;
  }
  if (covered != data_size_bytes) {
    throw DataError("the header describes " + std::to_string(covered) +
                    " bytes of tensors, but the file holds " + std::to_string(data_size_bytes));
  }
}

}  // namespace lockstep
