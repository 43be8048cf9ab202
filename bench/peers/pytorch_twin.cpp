#include "bench/peers/pytorch_twin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

#include "bench/training_step.h"
#include "comm/agreement.h"
#include "comm/errors.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Listener {
  int fd = -1;
  int port = 0;
};

// On `host`, at a port that the kernel chooses.
Listener listen_on(const std::string& host) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  socklen_t length = sizeof(address);
  Listener listener;
  listener.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener.fd < 0 || bind(listener.fd, generic, sizeof(address)) != 0 || listen(listener.fd, 1) != 0 ||
      getsockname(listener.fd, generic, &length) != 0) {
    throw CommError("cannot listen on " + host + " (" + std::strerror(errno) + ")");
  }
  listener.port = ntohs(address.sin_port);
  return listener;
}

// A port that was free a moment ago, for torchrun to meet at.
int free_port(const std::string& host) {
  const Listener listener = listen_on(host);
  close(listener.fd);
  return listener.port;
}

fs::path find_script() {
  const fs::path program = fs::read_symlink("/proc/self/exe");
  fs::path script = program.parent_path().parent_path() / "share/lockstep/bench/pytorch_step.py";
  if (!fs::exists(script)) {
    throw std::invalid_argument(
        "--compare pytorch: " + script.string() +
        " is not there; it is installed with lockstep-bench: build or install it again");
  }
  return script;
}

std::string find_python(const StepConfig& config) {
  if (!config.python.empty()) return config.python;
  return access(LOCKSTEP_PYTHON, X_OK) == 0 ? LOCKSTEP_PYTHON : "python3";
}

// Ours, without what would tell torchrun's processes a wrong place, and with what both sides have to share.
std::vector<std::string> environment_for(const StepConfig& config, const std::string& interface) {
  constexpr std::array<std::string_view, 8> kOurs = {"OMPI_",
                                                     "PMIX_",
                                                     "PMI_",
                                                     "LOCKSTEP_",
                                                     "RANK=",
                                                     "WORLD_SIZE=",
                                                     "OMP_NUM_THREADS=",
                                                     "GLOO_SOCKET_IFNAME="};
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    bool kept = true;
    for (const std::string_view prefix : kOurs) kept = kept && !text.starts_with(prefix);
    if (kept) result.emplace_back(text);
  }
  result.push_back("OMP_NUM_THREADS=" + std::to_string(config.num_threads));
  result.push_back("GLOO_SOCKET_IFNAME=" + interface);
  return result;
}

std::vector<char*> to_pointers(std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

PytorchTwin::PytorchTwin(const StepConfig& config, const BenchWorld& world)
    : world_(world), precision_(config.precision), channels_last_(config.channels_last) {
  const std::string loopback = "127.0.0.1";
  const Listener listener = listen_on(loopback);
  std::string ports;
  for (const std::string& port : world.gather(std::to_string(listener.port)))
    ports += (ports.empty() ? "" : ",") + port;
  const std::string own_address = address_of_interface(world.interface());
  const std::string master_address = broadcast_text(own_address, 0, *world.communicator());
  const std::string master_port = broadcast_text(
      world.rank() == 0 ? std::to_string(free_port(own_address)) : "", 0, *world.communicator());
  if (world.placement().local_rank == 0) start_torchrun(config, world, ports, master_address, master_port);
  accept_twin(listener.fd);
  version_ = json::parse(ask(R"({"do": "hello"})")).at("torch");
}

PytorchTwin::~PytorchTwin() {
  if (socket_ >= 0) ::close(socket_);
  if (torchrun_ > 0) {
    kill(torchrun_, SIGKILL);
    waitpid(torchrun_, nullptr, 0);
  }
}

void PytorchTwin::start_torchrun(const StepConfig& config, const BenchWorld& world, const std::string& ports,
                                 const std::string& master_address, const std::string& master_port) {
  const int local_ranks = world.placement().local_world_size;
  std::vector<std::string> arguments = {find_python(config),
                                        "-m",
                                        "torch.distributed.run",
                                        "--nnodes=" + std::to_string(world.world_size() / local_ranks),
                                        "--node-rank=" + std::to_string(world.rank() / local_ranks),
                                        "--nproc-per-node=" + std::to_string(local_ranks),
                                        "--master-addr=" + master_address,
                                        "--master-port=" + master_port,
                                        find_script().string(),
                                        "--ports=" + ports,
                                        "--device=" + config.device,
                                        "--timeout=" + std::to_string(config.timeout_s)};
  std::vector<std::string> environment = environment_for(config, world.interface());
  const std::vector<char*> argv = to_pointers(arguments);
  const std::vector<char*> envp = to_pointers(environment);
  const pid_t self = getpid();
  torchrun_ = fork();
  if (torchrun_ < 0) fail(std::string("fork: ") + std::strerror(errno));
  if (torchrun_ > 0) return;
  // Between fork and exec only what a signal handler may do.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != self) _exit(127);
  dup2(STDERR_FILENO, STDOUT_FILENO);  // standard output is the report's
  signal(SIGUSR1, SIG_IGN);            // asks the whole process group to stop, but this is ours to end
  execvpe(argv[0], argv.data(), envp.data());
  _exit(127);
}

void PytorchTwin::accept_twin(int listener) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::duration<double>(world_.setting().timeout_s);
  while (socket_ < 0) {
    constexpr int kTickMs = 100;
    pollfd waiting{listener, POLLIN, 0};
    if (poll(&waiting, 1, kTickMs) == 1) socket_ = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    int status = 0;
    if (torchrun_ > 0 && waitpid(torchrun_, &status, WNOHANG) == torchrun_) {
      torchrun_ = -1;
      const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      fail("torchrun ended with " + std::to_string(code) +
           (code == 127 ? "; --python must name an interpreter with PyTorch"
                        : "; what it printed above says why"));
    }
    if (Clock::now() > deadline) fail("it did not start within the timeout");
  }
  ::close(listener);
}

std::string PytorchTwin::ask(const std::string& request) {
  const std::string line = request + "\n";
  if (send(socket_, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size()))
    fail("it has ended");
  const int timeout_ms = static_cast<int>(std::min(world_.setting().timeout_s * 1000.0, 2e9));
  std::size_t end = 0;
  while ((end = unread_.find('\n')) == std::string::npos) {
    pollfd waiting{socket_, POLLIN, 0};
    if (poll(&waiting, 1, timeout_ms) == 0) fail("it did not answer within the timeout");
    std::array<char, 4096> bytes{};
    const ssize_t count = recv(socket_, bytes.data(), bytes.size(), 0);
    if (count == 0 || (count < 0 && errno != EINTR)) fail("it has ended; what it printed above says why");
    if (count > 0) unread_.append(bytes.data(), static_cast<std::size_t>(count));
  }
  const std::string answer = unread_.substr(0, end);
  unread_.erase(0, end + 1);
  return answer;
}

void PytorchTwin::set_up(const Workload& workload, bool compress, bool compiles) {
  const DatasetShape shape = TrainingStep::shape_of(workload);
  ask(json({{"do", "set_up"},
            {"model", workload.model},
            {"hidden", workload.hidden},
            {"sample_sizes", workload.sample_sizes},
            {"num_classes", workload.num_classes},
            {"batch_size", workload.batch_size},
            {"compress", compress},
            {"compiles", compiles},
            {"precision", precision_},
            {"channels_last", channels_last_},
            {"sequence_length", shape.sequence_length},
            {"vocabulary_size", shape.vocabulary_size}})
          .dump());
}

std::vector<double> PytorchTwin::take_turn(const std::string& kind, int settle_steps, int steps) {
  world_.communicator()->barrier();
  return json::parse(ask(json({{"do", kind}, {"settle_steps", settle_steps}, {"steps", steps}}).dump()))
      .at("seconds")
      .get<std::vector<double>>();
}

void PytorchTwin::close() {
  ask(R"({"do": "end"})");
  if (torchrun_ > 0) waitpid(torchrun_, nullptr, 0);
  torchrun_ = -1;
}

void PytorchTwin::fail(const std::string& what) const {
  throw CommError("rank " + std::to_string(world_.rank()) + ": --compare pytorch: " + what);
}

}  // namespace lockstep
