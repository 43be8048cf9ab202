#include "trainer/checkpoint/train_state_file.h"

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/empty.h>
#include <caffe2/serialize/inline_container.h>
#include <torch/csrc/jit/serialization/pickler.h>

#include <algorithm>
#include <exception>
#include <map>
#include <stdexcept>

#include "trainer/checkpoint/pickle_reader.h"

namespace lockstep {
namespace {

constexpr std::uint64_t kMaxPickleBytes = std::uint64_t{64}
                                          << 20;  // the structure alone; tensors lie beside it
constexpr int kMaxDepth = 60;                     // a little less than the reader takes

// A copy in which nothing is shared and every dict and list is of Any: LibTorch's pickler would write a typed
// list as a call that torch.load refuses.
c10::IValue to_plain(const c10::IValue& value, const std::string& place, int depth) {
  if (depth > kMaxDepth) throw std::invalid_argument("the train state nests too deeply at " + place);
  if (value.isNone() || value.isInt() || value.isDouble() || value.isBool() || value.isString()) return value;
  if (value.isTensor() && value.toTensor().defined()) {
    const at::Tensor tensor = value.toTensor().detach().cpu().contiguous();
    // A view would drag its whole storage into the file, and what two views share would be written as one.
    return tensor.clone();
  }
  if (value.isGenericDict()) {
    c10::impl::GenericDict dict(c10::AnyType::get(), c10::AnyType::get());
    for (const auto& item : value.toGenericDict()) {
      if (!item.key().isString() && !item.key().isInt()) {
        throw std::invalid_argument("the train state has a key that is neither str nor int at " + place);
      }
      const std::string key =
          item.key().isInt() ? std::to_string(item.key().toInt()) : item.key().toStringRef();
      dict.insert(item.key(), to_plain(item.value(), place + "/" + key, depth + 1));
    }
    return dict;
  }
  if (value.isList()) {
    c10::impl::GenericList list(c10::AnyType::get());
    for (const c10::IValue& element : value.toListRef()) {
      list.push_back(to_plain(element, place + "/" + std::to_string(list.size()), depth + 1));
    }
    return list;
  }
  throw std::invalid_argument("the train state holds a " + value.tagKind() + " at " + place +
                              "; it may hold dicts, lists, int, float, bool, str, None and tensors");
}

at::Tensor read_storage(caffe2::serialize::PyTorchStreamReader& archive, const std::string& key,
                        at::ScalarType type, std::int64_t numel, std::uint64_t file_size) {
  const std::string record = "data/" + key;
  if (!archive.hasRecord(record)) throw DataError("it lacks the tensor data '" + record + "'");
  std::uint64_t expected = 0;
  const std::uint64_t size_bytes = archive.getRecordSize(record);
  if (__builtin_mul_overflow(static_cast<std::uint64_t>(numel), c10::elementSize(type), &expected) ||
      expected != size_bytes || size_bytes > file_size) {
    throw DataError("its tensor data '" + record + "' have " + std::to_string(size_bytes) + " bytes, not " +
                    std::to_string(numel) + " elements of " + c10::toString(type));
  }
  at::Tensor storage = at::empty({numel}, at::TensorOptions().dtype(type));
  if (numel == 0) return storage;
  archive.getRecord(record, storage.mutable_data_ptr(), size_bytes);
  if (type == at::kBool) {  // a bool that is neither 0 nor 1 is undefined behaviour
    const auto* bytes = static_cast<const unsigned char*>(storage.const_data_ptr());
    if (std::any_of(bytes, bytes + numel, [](unsigned char byte) { return byte > 1; })) {
      throw DataError("its tensor data '" + record + "' are of type bool but hold other bytes than 0 and 1");
    }
  }
  return storage;
}

std::string read_record(caffe2::serialize::PyTorchStreamReader& archive, const std::string& name,
                        std::uint64_t max_bytes) {
  if (!archive.hasRecord(name)) throw DataError("it lacks the record '" + name + "'");
  const std::uint64_t size_bytes = archive.getRecordSize(name);
  if (size_bytes > max_bytes) {
    throw DataError("its record '" + name + "' claims " + std::to_string(size_bytes) + " bytes");
  }
  std::string bytes(size_bytes, '\0');
  if (size_bytes > 0) archive.getRecord(name, bytes.data(), size_bytes);
  return bytes;
}

c10::IValue read(const std::filesystem::path& path) {
  const std::uint64_t file_size = std::filesystem::file_size(path);
  caffe2::serialize::PyTorchStreamReader archive(path.string());
  if (archive.hasRecord("byteorder") && read_record(archive, "byteorder", 16) != "little") {
    throw DataError("it was written on a big-endian machine");
  }
  const std::string pickle = read_record(archive, "data.pkl", std::min(file_size, kMaxPickleBytes));
  std::map<std::string, at::Tensor> storages;  // what several tensors share is read once
  return read_pickle(pickle, [&](const std::string& key, at::ScalarType type, std::int64_t numel) {
    at::Tensor& storage = storages[key];
    if (!storage.defined()) storage = read_storage(archive, key, type, numel, file_size);
    // Otherwise a small file could have the same bytes read into memory again and again.
    if (storage.scalar_type() != type || storage.numel() != numel)
      throw DataError("its tensor data 'data/" + key + "' are used as two types");
    return storage;
  });
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

FileDigest write_train_state(const std::filesystem::path& path, const c10::IValue& state) {
  const c10::IValue plain = to_plain(state, "state", 0);
  std::string pickle;
  torch::jit::Pickler pickler([&](const char* data, std::size_t size) { pickle.append(data, size); },
                              /*tensor_table=*/nullptr, /*type_renamer=*/nullptr,
                              /*memoized_class_types=*/nullptr,
                              /*get_tensor_id=*/nullptr, /*tag_aggregates=*/false);
  pickler.protocol();
  pickler.pushIValue(plain);
  pickler.stop();
  if (pickle.size() > kMaxPickleBytes)
    throw std::invalid_argument("the train state has too many entries to be saved");

  DurableFileWriter file(path);
  // An exception must not cross the archive's C code: keep it, let the archive finish into nowhere, and
  // rethrow.
  std::exception_ptr failure;
  {
    caffe2::serialize::PyTorchStreamWriter archive([&](const void* data, std::size_t size) {
      try {
        if (!failure) file.write(data, size);
      } catch (...) {
        failure = std::current_exception();
      }
      return size;
    });
    archive.writeRecord("data.pkl", pickle.data(), pickle.size());
    archive.writeRecord("byteorder", "little", 6);
    const auto& tensors = pickler.tensorData();
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      archive.writeRecord("data/" + std::to_string(i), tensors[i].const_data_ptr(), tensors[i].nbytes());
    }
    archive.writeEndOfFile();
  }
  if (failure) std::rethrow_exception(failure);
  return file.finish();
}

c10::IValue read_train_state(const std::filesystem::path& path) {
  const std::string complaint = path.string() + " is no usable PyTorch file: ";
  try {
    return read(path);
  } catch (const DataError& error) {
    throw DataError(complaint + error.what());
  } catch (const c10::Error& error) {
    throw DataError(complaint + first_line(error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw DataError(complaint + first_line(error.what()));
  }
}

}  // namespace lockstep
