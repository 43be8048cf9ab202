#include "trainer/checkpoint/pickle_reader.h"

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>
#include <ATen/ops/as_strided.h>

#include <algorithm>
#include <bit>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "trainer/checkpoint/container_copy.h"
#include "trainer/checkpoint/pickle_input.h"

namespace lockstep {
namespace {

constexpr int kMaxDepth = 64;  // deeper nesting would overflow the stack when it is destroyed

constexpr std::int64_t kMostCopies = 1 << 20;  // values in dicts and lists that are used twice

// What lies on the pickle machine's stack: a value, or something that only helps to build one.
struct Item {
  enum class Kind { kValue, kContainer, kTuple, kGlobal, kStorage };
  Kind kind = Kind::kValue;
  c10::IValue value{};        // kValue, kContainer
  std::vector<Item> tuple{};  // kTuple
  std::string global{};       // kGlobal: "module name"
  at::Tensor storage{};       // kStorage: one dimension
  int depth = 0;
  std::shared_ptr<bool> used_twice{};  // kContainer that is remembered: it must not change any more
};

const std::unordered_map<std::string, at::ScalarType>& storage_types() {
  static const std::unordered_map<std::string, at::ScalarType> types{
      {"torch DoubleStorage", at::kDouble}, {"torch FloatStorage", at::kFloat},
      {"torch HalfStorage", at::kHalf},     {"torch BFloat16Storage", at::kBFloat16},
      {"torch LongStorage", at::kLong},     {"torch IntStorage", at::kInt},
      {"torch ShortStorage", at::kShort},   {"torch CharStorage", at::kChar},
      {"torch ByteStorage", at::kByte},     {"torch BoolStorage", at::kBool},
  };
  return types;
}

class PickleMachine : private PickleInput {
 public:
  PickleMachine(std::string_view pickle, const StorageReader& read_storage)
      : PickleInput(pickle), read_storage_(read_storage) {}

  c10::IValue run() {
    while (step()) {
    }
    if (stack_.size() != 1 || !marks_.empty()) fail("it does not end with one value");
    return to_value(pop());
  }

 private:
  // Stack.
  void push(Item item) { stack_.push_back(std::move(item)); }
  void push_value(c10::IValue value) { push({.value = std::move(value)}); }
  // Nothing below the newest mark may be touched.
  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Item pop() {
    if (stack_.size() <= floor()) fail("a value is missing");
    Item item = std::move(stack_.back());
    stack_.pop_back();
    return item;
  }
  std::vector<Item> pop_to_mark() {
    if (marks_.empty()) fail("a mark is missing");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Item> items(std::make_move_iterator(begin), std::make_move_iterator(stack_.end()));
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  Item& container_on_top() {
    if (stack_.size() <= floor() || stack_.back().kind != Item::Kind::kContainer)
      fail("a dict or list is missing");
    return stack_.back();
  }

  Item& unfinished_container() {
    Item& container = container_on_top();
    if (container.used_twice && *container.used_twice) fail("a dict or list inside itself");
    return container;
  }

  // Values.
  void nest(Item& outer, const Item& inner) const {
    outer.depth = std::max(outer.depth, inner.depth + 1);
    if (outer.depth > kMaxDepth) fail("it nests deeper than " + std::to_string(kMaxDepth));
  }
  c10::IValue to_value(Item item) const {
    if (item.kind == Item::Kind::kValue || item.kind == Item::Kind::kContainer) return std::move(item.value);
    if (item.kind == Item::Kind::kGlobal) fail("it holds " + named(item));
    if (item.kind != Item::Kind::kTuple) fail("a storage where a value belongs");
    std::vector<c10::IValue> elements;
    elements.reserve(item.tuple.size());
    for (Item& element : item.tuple) elements.push_back(to_value(std::move(element)));
    return c10::ivalue::Tuple::create(std::move(elements));
  }
  // What a pickle wants that we do not give, by its name in Python.
  static std::string named(const Item& wanted) {
    std::string name = wanted.global;
    std::replace(name.begin(), name.end(), ' ', '.');
    return wanted.kind == Item::Kind::kGlobal ? name : "something that is no type";
  }
  std::int64_t to_int(const Item& item) const {
    if (item.kind != Item::Kind::kValue || !item.value.isInt()) fail("a whole number is missing");
    return item.value.toInt();
  }
  std::string to_text(const Item& item) const {
    if (item.kind != Item::Kind::kValue || !item.value.isString()) fail("a text is missing");
    return item.value.toStringRef();
  }
  const std::vector<Item>& to_tuple(const Item& item) const {
    if (item.kind != Item::Kind::kTuple) fail("a tuple is missing");
    return item.tuple;
  }
  void push_tuple(std::vector<Item> elements) {
    Item item{.kind = Item::Kind::kTuple};
    for (const Item& element : elements) nest(item, element);
    item.tuple = std::move(elements);
    push(std::move(item));
  }
  void push_dict() {
    push({.kind = Item::Kind::kContainer,
          .value = c10::impl::GenericDict(c10::AnyType::get(), c10::AnyType::get())});
  }

  void append(std::vector<Item> elements) {
    Item& list = unfinished_container();
    if (!list.value.isList()) fail("a list is missing");
    auto values = list.value.toList();
    for (Item& element : elements) {
      nest(list, element);
      values.push_back(to_value(std::move(element)));
    }
  }
  void set_items(std::vector<Item> keys_and_values) {
    Item& dict = unfinished_container();
    if (!dict.value.isGenericDict() || keys_and_values.size() % 2 != 0)
      fail("a dict or one of its values is missing");
    auto values = dict.value.toGenericDict();
    for (std::size_t i = 0; i < keys_and_values.size(); i += 2) {
      const Item& key = keys_and_values[i];
      if (key.kind != Item::Kind::kValue || !(key.value.isString() || key.value.isInt())) {
        fail("a dict's key is neither a text nor a whole number");
      }
      nest(dict, keys_and_values[i + 1]);
      if (!values.insert(key.value, to_value(std::move(keys_and_values[i + 1]))).second) {
        fail("a dict's key is repeated");
      }
    }
  }

  // ("storage", torch.FloatStorage, key, device, numel): where the values of a tensor lie.
  void push_storage(const Item& id) {
    const auto& fields = to_tuple(id);
    if (fields.size() != 5 || to_text(fields[0]) != "storage") fail("an unknown reference to outside");
    const auto type = storage_types().find(fields[1].global);
    if (type == storage_types().end()) fail("storage type '" + fields[1].global + "'");
    const std::int64_t numel = to_int(fields[4]);
    if (numel < 0) fail("a storage of negative size");
    push({.kind = Item::Kind::kStorage, .storage = read_storage_(to_text(fields[2]), type->second, numel)});
  }

  std::vector<std::int64_t> to_sizes(const Item& item) const {
    std::vector<std::int64_t> sizes;
    for (const Item& size : to_tuple(item)) {
      sizes.push_back(to_int(size));
      if (sizes.back() < 0) fail("a negative size or stride");
    }
    if (sizes.size() > kMaxDepth) fail("a tensor of too many dimensions");
    return sizes;
  }

  // (storage, offset, sizes, strides, requires_grad, backward hooks): nothing may reach beyond the storage.
  void push_tensor(const Item& arguments) {
    const auto& fields = to_tuple(arguments);
    if (fields.size() < 6 || fields[0].kind != Item::Kind::kStorage) fail("a tensor without its storage");
    const at::Tensor& storage = fields[0].storage;
    const std::int64_t offset = to_int(fields[1]);
    const auto sizes = to_sizes(fields[2]);
    const auto strides = to_sizes(fields[3]);
    bool fits = offset >= 0 && sizes.size() == strides.size();
    bool empty = false;
    std::int64_t numel = 1, last = offset;
    for (std::size_t i = 0; fits && i < sizes.size(); ++i) {
      std::int64_t reach = 0;
      empty = empty || sizes[i] == 0;
      const std::int64_t size = std::max<std::int64_t>(sizes[i], 1);
      fits = !__builtin_mul_overflow(numel, size, &numel) &&
             !__builtin_mul_overflow(size - 1, strides[i], &reach) &&
             !__builtin_add_overflow(last, reach, &last);
    }
    fits = fits && (empty ? offset <= storage.numel() : last < storage.numel() && numel <= storage.numel());
    if (!fits) fail("a tensor reaches beyond its storage");
    push_value(at::as_strided(storage, sizes, strides, offset));
  }

  void reduce() {
    Item arguments = pop();
    const Item callable = pop();
    if (callable.global == "torch._utils _rebuild_tensor_v2") {
      push_tensor(arguments);
    } else if (callable.global == "collections OrderedDict" && to_tuple(arguments).empty()) {
      push_dict();
    } else if (callable.global == "torch._utils _rebuild_parameter") {
      // (tensor, requires_grad, backward hooks)
      const auto& fields = to_tuple(arguments);
      if (fields.empty() || fields[0].kind != Item::Kind::kValue || !fields[0].value.isTensor())
        fail("a parameter without its tensor");
      push(fields[0]);
    } else if (callable.global == "collections Counter" && to_tuple(arguments).size() == 1 &&
               arguments.tuple[0].kind == Item::Kind::kContainer &&
               arguments.tuple[0].value.isGenericDict()) {
      push(std::move(arguments.tuple[0]));  // a dict by another name: milestones of a scheduler
    } else {
      fail("it wants a call of " + named(callable) + ", but may hold tensors and plain containers only");
    }
  }
  // Attributes of a state_dict() (the versions of its modules) say nothing that we need.
  void drop_attributes() {
    const Item attributes = pop();
    if (attributes.kind != Item::Kind::kContainer || !attributes.value.isGenericDict() ||
        !container_on_top().value.isGenericDict())
      fail("attributes of something that is no dict");
  }
  [[noreturn]] void refuse_object() {
    const Item arguments = pop();
    fail("it holds an object of " + named(pop()) + ", but may hold tensors and plain containers only");
  }

  // What is used twice is copied, so that nothing is part of itself, and of bounded size, so that a small
  // file stays a small one.
  void remember(std::uint64_t index) {
    if (stack_.size() <= floor()) fail("a value is missing");
    Item& item = stack_.back();
    if (item.kind == Item::Kind::kContainer && !item.used_twice)
      item.used_twice = std::make_shared<bool>(false);
    memo_[index] = item.kind == Item::Kind::kTuple ? Item{.kind = Item::Kind::kTuple} : item;
  }
  void recall(std::uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail("a value that was never stored");
    const Item& item = found->second;
    if (item.kind == Item::Kind::kTuple) fail("one tuple in two places");
    if (item.kind != Item::Kind::kContainer) return push(item);
    *item.used_twice = true;
    ContainerCopy copy = copy_containers(item.value, copies_left_);
    if (copies_left_ <= 0) fail("too much of it is used twice");
    push({.kind = Item::Kind::kContainer, .value = std::move(copy.value), .depth = copy.depth});
  }

  // One operation; false at the end.
  bool step() {
    switch (static_cast<unsigned char>(take(1).front())) {
      case 0x80:  // PROTO
        if (take_unsigned(1) != 2) fail("another protocol than 2");
        return true;
      case '.':  // STOP
        return false;
      case '(':  // MARK
        marks_.push_back(stack_.size());
        return true;
      case 'N':
        push_value({});
        return true;
      case 0x88:  // NEWTRUE
        push_value(true);
        return true;
      case 0x89:  // NEWFALSE
        push_value(false);
        return true;
      case 'J':  // BININT
        push_value(std::int64_t{static_cast<std::int32_t>(take_unsigned(4))});
        return true;
      case 'K':  // BININT1
        push_value(static_cast<std::int64_t>(take_unsigned(1)));
        return true;
      case 'M':  // BININT2
        push_value(static_cast<std::int64_t>(take_unsigned(2)));
        return true;
      case 0x8a:  // LONG1
        push_value(take_long());
        return true;
      case 'G': {  // BINFLOAT, big-endian
        const auto bits = __builtin_bswap64(take_unsigned(8));
        push_value(std::bit_cast<double>(bits));
        return true;
      }
      case 'X': {  // BINUNICODE
        const auto size_bytes = take_unsigned(4);
        push_value(std::string(take(size_bytes)));
        return true;
      }
      case '}':
        push_dict();
        return true;
      case ']':
        push({.kind = Item::Kind::kContainer, .value = c10::impl::GenericList(c10::AnyType::get())});
        return true;
      case ')':
        push_tuple({});
        return true;
      default:
        --position_;
        return step_on_values();
    }
  }

  bool step_on_values() {
    switch (static_cast<unsigned char>(take(1).front())) {
      case 't':
        push_tuple(pop_to_mark());
        return true;
      case 0x85:    // TUPLE1
      case 0x86:    // TUPLE2
      case 0x87: {  // TUPLE3
        std::vector<Item> elements(static_cast<unsigned char>(pickle_[position_ - 1]) - 0x84u);
        for (std::size_t i = elements.size(); i-- > 0;) elements[i] = pop();
        push_tuple(std::move(elements));
        return true;
      }
      case 'a':
        append_one();
        return true;
      case 'e':
        append(pop_to_mark());
        return true;
      case 's':
        set_one_item();
        return true;
      case 'u':
        set_items(pop_to_mark());
        return true;
      case 'q':
        remember(take_unsigned(1));
        return true;
      case 'r':
        remember(take_unsigned(4));
        return true;
      case 'h':
        recall(take_unsigned(1));
        return true;
      case 'j':
        recall(take_unsigned(4));
        return true;
      case 'c': {  // GLOBAL: kept as a name, never looked up
        std::string module = take_line();
        push({.kind = Item::Kind::kGlobal, .global = module + " " + take_line()});
        return true;
      }
      case 'Q':  // BINPERSID
        push_storage(pop());
        return true;
      case 'R':
        reduce();
        return true;
      case 'b':
        drop_attributes();
        return true;
      case 0x81:  // NEWOBJ
        refuse_object();
      default:
        fail("an operation that builds no data");
    }
  }

  void append_one() {
    std::vector<Item> element;
    element.push_back(pop());
    append(std::move(element));
  }
  void set_one_item() {
    std::vector<Item> item(2);
    item[1] = pop();
    item[0] = pop();
    set_items(std::move(item));
  }

  const StorageReader& read_storage_;
  std::vector<Item> stack_;
  std::vector<std::size_t> marks_;
  std::map<std::uint64_t, Item> memo_;
  std::int64_t copies_left_ = kMostCopies;
};

}  // namespace

c10::IValue read_pickle(std::string_view pickle, const StorageReader& read_storage) {
  return PickleMachine(pickle, read_storage).run();
}

}  // namespace lockstep
