// With ip and tc of iproute2. Names begin with "lsw", the process' number and a dash.
#include "launch/shaped_wire.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <system_error>

#include "bench/config/wire_rate.h"
#include "launch/tool.h"
#include "sampler/data_error.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "lsw";

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

void must(const std::vector<std::string>& words) {
  const ToolResult result = run_tool(words);
  if (result.status == 0) return;
  std::string command;
  for (const std::string& word : words) command += (command.empty() ? "" : " ") + word;
  throw DataError("the wire cannot be made: " + command + " failed (" + first_line(result.output) + ")");
}

std::vector<std::string> namespaces_with(const std::string& prefix) {
  std::vector<std::string> names;
  std::istringstream lines(run_tool({"ip", "netns", "list"}).output);
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, line.find(' '));
    if (name.starts_with(prefix)) names.push_back(name);
  }
  return names;
}

void remove_namespaces(const std::string& prefix) {
  for (const std::string& name : namespaces_with(prefix)) {
    std::istringstream processes(run_tool({"ip", "netns", "pids", name}).output);
    for (pid_t process = 0; processes >> process;) kill(process, SIGKILL);
    run_tool({"ip", "netns", "del", name});
  }
}

fs::path folder_of(const std::string& tag) {
  return fs::temp_directory_path() / ("lockstep-wire-" + tag);
}

// "lsw123-2" is of process 123; 0 for what is none of ours.
pid_t maker_of(const std::string& name) {
  pid_t process = 0;
  const char* begin = name.data() + kPrefix.size();
  const auto [end, error] = std::from_chars(begin, name.data() + name.size(), process);
  return error == std::errc() && *end == '-' ? process : 0;
}

bool is_running(pid_t process) {
  return kill(process, 0) == 0 || errno == EPERM;
}

// tbf lets a burst pass at once: as little of it as the rate can do with, since it makes small messages look
// faster than the wire. A packet that the kernel has not yet cut up has 64 KiB.
std::string burst_of(double bits_per_s) {
  constexpr double kLeast = 96e3;
  constexpr double kTimerS = 200e-6;
  return std::to_string(static_cast<long>(std::max(kLeast, bits_per_s / 8 * kTimerS)));
}

void shape(const std::string& space, const std::string& interface, const std::string& rate) {
  const double bits_per_s = wire_bits_per_s(rate);
  if (bits_per_s == 0.0) return;
  must({"ip", "netns", "exec", space, "tc", "qdisc", "add", "dev", interface, "root", "tbf", "rate", rate,
        "burst", burst_of(bits_per_s), "latency", "50ms"});
}

// Waits until `pipe` is closed at the other end, which is also what death does, and removes what is there.
[[noreturn]] void be_janitor(int pipe, const std::string& tag, const fs::path& folder) {
  setsid();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE}) std::signal(signal, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(nothing, fd);
  char byte = 0;
  while (read(pipe, &byte, 1) < 0 && errno == EINTR) {
  }
  std::error_code ignored;
  remove_namespaces(tag + "-");
  fs::remove_all(folder, ignored);
  _exit(0);
}

int open_namespace(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw DataError("the wire cannot be used: " + path + " (" + std::strerror(errno) + ")");
  return fd;
}

void stand_in(int space) {
  if (setns(space, CLONE_NEWNET) != 0)
    throw DataError(std::string("the wire's host cannot be entered (") + std::strerror(errno) + ")");
}

}  // namespace

std::string why_no_wires() {
  for (const char* tool : {"ip", "tc"}) {
    if (run_tool({tool, "-V"}).status == 127) return std::string(tool) + " is not there; install iproute2";
  }
  const std::string name = std::string(kPrefix) + std::to_string(getpid()) + "-try";
  const ToolResult made = run_tool({"ip", "netns", "add", name});
  const std::string shaped =
      made.status != 0 ? made.output
                       : run_tool({"ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "lo", "root",
                                   "tbf", "rate", "1gbit", "burst", "96000", "latency", "50ms"})
                             .output;
  run_tool({"ip", "netns", "del", name});
  if (made.status == 0 && shaped.empty()) return {};
  return "network namespaces with a shaped wire cannot be made here (" + first_line(shaped) +
         "); it takes root, or CAP_NET_ADMIN and CAP_SYS_ADMIN, and a kernel with tbf";
}

int remove_abandoned_wires() {
  int removed = 0;
  for (const std::string& name : namespaces_with(std::string(kPrefix))) {
    const pid_t maker = maker_of(name);
    if (maker == 0 || is_running(maker)) continue;
    remove_namespaces(name);
    std::error_code ignored;
    fs::remove_all(folder_of(name.substr(0, name.find('-'))), ignored);
    ++removed;
  }
  return removed;
}

ShapedWire::ShapedWire(const WirePlan& plan)
    : tag_(std::string(kPrefix) + std::to_string(getpid())), folder_(folder_of(tag_)) {
  if (const std::string problem = why_no_wires(); !problem.empty()) throw DataError(problem);
  remove_abandoned_wires();
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  janitor_ = fork();
  if (janitor_ < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (janitor_ == 0) {
    close(ends[1]);
    be_janitor(ends[0], tag_, folder_);
  }
  close(ends[0]);
  janitor_pipe_ = ends[1];
  try {
    make(plan);
  } catch (...) {
    tidy();
    throw;
  }
}

ShapedWire::~ShapedWire() {
  tidy();
}

void ShapedWire::make(const WirePlan& plan) {
  outside_ = open_namespace("/proc/thread-self/ns/net");
  fs::create_directories(folder_);
  const std::string hub = tag_ + "-s";
  must({"ip", "netns", "add", hub});
  must({"ip", "-n", hub, "link", "add", "br0", "type", "bridge"});
  must({"ip", "-n", hub, "link", "set", "br0", "up"});
  std::ofstream hosts(hostfile());
  for (int i = 1; i <= plan.hosts; ++i) {
    const std::string host = tag_ + "-" + std::to_string(i);
    const std::string port = "port" + std::to_string(i);
    must({"ip", "netns", "add", host});
    must({"ip", "-n", host, "link", "set", "lo", "up"});
    must({"ip", "-n", hub, "link", "add", port, "type", "veth", "peer", "name", kInterface, "netns", host});
    must({"ip", "-n", hub, "link", "set", port, "master", "br0", "up"});
    must({"ip", "-n", host, "addr", "add", "10.213.0." + std::to_string(i) + "/24", "dev", kInterface});
    must({"ip", "-n", host, "link", "set", kInterface, "up"});
    shape(host, kInterface, plan.rate);
    shape(hub, port, plan.rate);
    namespaces_.push_back(open_namespace("/run/netns/" + host));
    hosts << host << " slots=" << plan.slots << "\n";
  }
  // What mpirun calls in place of ssh, with the host's name and a command line that it has quoted.
  const fs::path agent = folder_ / "agent";
  std::ofstream(agent) << "#!/bin/sh\nhost=$1\nshift\nexec ip netns exec \"$host\" /bin/sh -c \"$*\"\n";
  fs::permissions(agent, fs::perms::owner_all);
}

void ShapedWire::enter() {
  stand_in(namespaces_.front());
  const std::string agent = folder_ / "agent";
  // Open MPI's rtc/hwloc now and then crashes its daemon where several "hosts" share one /tmp, and its PMIx's
  // store of shared files is in the way of the next one's.
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"GLOO_SOCKET_IFNAME", kInterface},
                                                                  {"OMPI_MCA_plm_rsh_agent", agent.c_str()},
                                                                  {"OMPI_MCA_btl", "tcp,self"},
                                                                  {"OMPI_MCA_btl_tcp_if_include", kInterface},
                                                                  {"OMPI_MCA_oob_tcp_if_include", kInterface},
                                                                  {"OMPI_MCA_routed", "direct"},
                                                                  {"OMPI_MCA_rtc", "^hwloc"},
                                                                  {"PMIX_MCA_gds", "hash"}}) {
    setenv(name, value, /*overwrite=*/1);
  }
}

SentBytes ShapedWire::sent_bytes() const {
  SentBytes total;
  const int here = open_namespace("/proc/thread-self/ns/net");
  for (const int space : namespaces_) {
    stand_in(space);
    add_sent(total, read_sent_bytes());
  }
  stand_in(here);
  close(here);
  return total;
}

void ShapedWire::tidy() {
  if (outside_ >= 0) setns(outside_, CLONE_NEWNET);  // the janitor ends whoever stands in a host
  for (const int space : namespaces_) close(space);
  namespaces_.clear();
  if (outside_ >= 0) close(outside_);
  outside_ = -1;
  close(janitor_pipe_);
  while (waitpid(janitor_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace lockstep
