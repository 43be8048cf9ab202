#include "trainer/checkpoint/safetensors.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <stdexcept>

#include "trainer/checkpoint/safetensors_header.h"

namespace lockstep {
namespace {

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::size_t kMaxDimensions = 64;

struct Dtype {
  std::string_view name;
  at::ScalarType type;
};

constexpr std::array kDtypes{
    Dtype{"F64", at::kDouble},    Dtype{"F32", at::kFloat}, Dtype{"F16", at::kHalf},
    Dtype{"BF16", at::kBFloat16}, Dtype{"I64", at::kLong},  Dtype{"I32", at::kInt},
    Dtype{"I16", at::kShort},     Dtype{"I8", at::kChar},   Dtype{"U8", at::kByte},
    Dtype{"BOOL", at::kBool},
};

std::string_view dtype_name(const std::string& tensor_name, at::ScalarType type) {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.type == type) return dtype.name;
  }
  throw std::invalid_argument("tensor '" + tensor_name + "' is of dtype " + c10::toString(type) +
                              ", which a safetensors checkpoint cannot hold");
}

at::ScalarType dtype_of(const SafetensorsEntry& entry) {
  for (const Dtype& dtype : kDtypes) {
    if (dtype.name == entry.dtype) return dtype.type;
  }
  throw DataError("tensor '" + entry.name + "' is of dtype '" + entry.dtype +
                  "', which Lockstep does not know");
}

// Throws unless the entry's bytes are exactly what dtype and shape take.
void check_size(const SafetensorsEntry& entry, at::ScalarType type) {
  std::uint64_t expected = c10::elementSize(type);
  std::uint64_t without_zeros = expected;  // LibTorch's strides must not overflow even where a size is 0
  bool fits = entry.shape.size() <= kMaxDimensions;
  for (const std::int64_t size : entry.shape) {
    fits = fits &&
           !__builtin_mul_overflow(without_zeros, static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1)),
                                   &without_zeros);
    expected *= static_cast<std::uint64_t>(size);
  }
  fits = fits && without_zeros <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!fits || expected != entry.end - entry.begin) {
    throw DataError("tensor '" + entry.name + "' has " + std::to_string(entry.end - entry.begin) +
                    " bytes, which is not what its dtype and shape take");
  }
}

std::string read_bytes(std::ifstream& file, std::uint64_t size_bytes) {
  std::string bytes(size_bytes, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(size_bytes));
  if (!file) throw DataError("it cannot be read to its end");
  return bytes;
}

at::Tensor read_tensor(std::ifstream& file, std::uint64_t position, const SafetensorsEntry& entry,
                       at::ScalarType type) {
  at::Tensor tensor = at::empty(entry.shape, at::TensorOptions().dtype(type));
  const auto size_bytes = static_cast<std::streamsize>(entry.end - entry.begin);
  file.seekg(static_cast<std::streamoff>(position));
  file.read(static_cast<char*>(tensor.mutable_data_ptr()), size_bytes);
  if (!file) throw DataError("it cannot be read to its end");
  if (type == at::kBool) {  // a bool that is neither 0 nor 1 is undefined behaviour
    const auto* bytes = static_cast<const unsigned char*>(tensor.const_data_ptr());
    if (std::any_of(bytes, bytes + size_bytes, [](unsigned char byte) { return byte > 1; })) {
      throw DataError("tensor '" + entry.name + "' is BOOL but holds other bytes than 0 and 1");
    }
  }
  return tensor;
}

NamedTensors read(const std::filesystem::path& path) {
  std::error_code error;
  const std::uint64_t file_size = std::filesystem::file_size(path, error);
  std::ifstream file(path, std::ios::binary);
  if (error || !file) throw DataError("it cannot be opened: " + (error ? error.message() : "no permission"));
  if (file_size < 8)
    throw DataError("it has " + std::to_string(file_size) + " bytes, fewer than a header's length");

  const std::string length_bytes = read_bytes(file, 8);
  std::uint64_t header_size = 0;
  for (int i = 7; i >= 0; --i) header_size = header_size << 8 | static_cast<unsigned char>(length_bytes[i]);
  if (header_size > kMaxHeaderBytes || header_size > file_size - 8) {
    throw DataError("its header claims " + std::to_string(header_size) + " bytes in a file of " +
                    std::to_string(file_size));
  }
  const auto entries = parse_safetensors_header(read_bytes(file, header_size));
  const std::uint64_t data_begin = 8 + header_size;
  check_safetensors_layout(entries, file_size - data_begin);
  std::vector<at::ScalarType> types;
  types.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) {
    types.push_back(dtype_of(entry));
    check_size(entry, types.back());
  }

  NamedTensors tensors;
  tensors.reserve(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    tensors.emplace_back(entries[i].name,
                         read_tensor(file, data_begin + entries[i].begin, entries[i], types[i]));
  }
  return tensors;
}

}  // namespace

FileDigest write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  std::vector<std::size_t> order(tensors.size());  // of the bytes: widest dtype first
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return tensors[a].second.element_size() > tensors[b].second.element_size();
  });
  std::vector<std::uint64_t> begins(tensors.size());
  std::uint64_t position = 0;
  for (const std::size_t i : order) {
    begins[i] = position;
    position += tensors[i].second.nbytes();
  }

  nlohmann::ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
  std::set<std::string> names{"__metadata__"};
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto& [name, tensor] = tensors[i];
    if (!names.insert(name).second)
      throw std::invalid_argument("tensor name '" + name + "' is taken already");
    // Not through operator[], which would search all earlier names.
    header.get_ref<nlohmann::ordered_json::object_t&>().emplace_back(
        name, nlohmann::ordered_json{{"dtype", dtype_name(name, tensor.scalar_type())},
                                     {"shape", tensor.sizes().vec()},
                                     {"data_offsets", {begins[i], begins[i] + tensor.nbytes()}}});
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string length_bytes;
  for (int i = 0; i < 8; ++i) length_bytes += static_cast<char>(text.size() >> (8 * i) & 0xff);

  DurableFileWriter file(path);
  file.write(length_bytes);
  file.write(text);
  for (const std::size_t i : order) {
    const at::Tensor tensor = tensors[i].second.detach().cpu().contiguous();
    file.write(tensor.const_data_ptr(), tensor.nbytes());
  }
  return file.finish();
}

NamedTensors read_safetensors(const std::filesystem::path& path) {
  try {
    return read(path);
  } catch (const DataError& error) {
    throw DataError(path.string() + " is no usable safetensors file: " + error.what());
  }
}

}  // namespace lockstep
