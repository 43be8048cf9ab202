#include "bench/peers/gloo_group.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "comm/agreement.h"
#include "comm/errors.h"

namespace lockstep {
namespace {

struct Group {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
};

std::chrono::milliseconds timeout_of(const BenchWorld& world) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(world.setting().timeout_s * 1000.0));
}

// The store of rank 0, which chooses a free port and tells the others.
c10::intrusive_ptr<c10d::Store> open_store(const BenchWorld& world) {
  c10d::TCPStoreOptions options;
  options.port = 0;
  options.isServer = world.rank() == 0;
  options.timeout = timeout_of(world);
  options.waitWorkers = false;
  const std::string own = address_of_interface(world.interface());
  c10::intrusive_ptr<c10d::TCPStore> store;
  std::string port;
  if (world.rank() == 0) {
    store = c10::make_intrusive<c10d::TCPStore>(own, options);
    port = std::to_string(store->getPort());
  }
  const std::string address = broadcast_text(own, 0, *world.communicator());
  port = broadcast_text(port, 0, *world.communicator());
  if (!store) {
    options.port = static_cast<std::uint16_t>(std::stoul(port));
    store = c10::make_intrusive<c10d::TCPStore>(address, options);
  }
  return store;
}

Group make_group(const BenchWorld& world, const std::string& name) {
  (void)address_of_interface(world.interface());  // whose refusal says more than Gloo's
  try {
    auto options = c10d::ProcessGroupGloo::Options::create(timeout_of(world));
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForInterface(world.interface()));
    Group group;
    group.store = c10::make_intrusive<c10d::PrefixStore>(name, open_store(world));
    group.gloo =
        c10::make_intrusive<c10d::ProcessGroupGloo>(group.store, world.rank(), world.world_size(), options);
    return group;
  } catch (const std::invalid_argument&) {
    throw;
  } catch (const CommError&) {
    throw;
  } catch (const std::exception& error) {
    const std::string text = error.what();  // c10d's go on with a stack trace
    throw CommError("rank " + std::to_string(world.rank()) +
                    " cannot join the peers' Gloo group on interface " + world.interface() + ": " +
                    text.substr(0, text.find('\n')));
  }
}

}  // namespace

c10::intrusive_ptr<c10d::ProcessGroupGloo> make_gloo_group(const BenchWorld& world, const std::string& name) {
  return make_group(world, name).gloo;
}

c10::intrusive_ptr<c10d::ProcessGroup> make_gloo_process_group(const BenchWorld& world,
                                                               const std::string& name) {
  const Group group = make_group(world, name);
  auto front = c10::make_intrusive<c10d::ProcessGroup>(group.store, world.rank(), world.world_size());
  front->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, group.gloo);
  front->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
  return front;
}

}  // namespace lockstep
