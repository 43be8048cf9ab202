// What the variables do: "Environment Variables" in NCCL's user guide.
#include "launch/doctor/nccl_probes.h"

#include <dlfcn.h>

#include <map>
#include <sstream>

#include "comm/socket_address.h"

namespace lockstep {
namespace {

constexpr const char* kVersion = "nccl";
constexpr const char* kSettings = "nccl settings";

std::string version_text(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

struct Setting {
  std::string value;
  std::string where;  // "" for the environment
};
using Settings = std::map<std::string, Setting>;

void read_file(const ProbeSource& source, const std::string& file, Settings& settings) {
  std::istringstream lines(source.text(file).value_or(""));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t equals = line.find('=');
    if (line.starts_with("#") || equals == std::string::npos) continue;
    settings.try_emplace(line.substr(0, equals), Setting{line.substr(equals + 1), " in /" + file});
  }
}

Settings read_settings(const ProbeSource& source) {
  Settings settings;
  for (const auto& [name, value] : source.environment) {
    if (name.starts_with("NCCL_") || name == "CUDA_LAUNCH_BLOCKING") settings[name] = {value, ""};
  }
  const std::string home = source.variable("HOME");
  if (home.starts_with("/")) read_file(source, home.substr(1) + "/.nccl.conf", settings);
  read_file(source, "etc/nccl.conf", settings);
  return settings;
}

struct Hurtful {
  const char* name;
  bool (*hurts)(const std::string& value);
  const char* why;
};

bool is_on(const std::string& value) {
  return !value.empty() && value != "0";
}
bool is_set(const std::string& /*value*/) {
  return true;
}
bool is_nearest(const std::string& value) {
  return value == "LOC" || value == "0";
}
bool is_talkative(const std::string& value) {
  return value == "INFO" || value == "TRACE" || value == "info" || value == "trace";
}
bool is_socket(const std::string& value) {
  return value == "Socket" || value == "socket";
}

constexpr Hurtful kHurtful[] = {
    {"NCCL_P2P_DISABLE", is_on, "GPUs do not read each other's memory, so NVLink lies idle"},
    {"NCCL_P2P_LEVEL", is_nearest, "GPUs do not read each other's memory, so NVLink lies idle"},
    {"NCCL_SHM_DISABLE", is_on, "ranks of one machine talk over sockets"},
    {"NCCL_NVLS_ENABLE", [](const std::string& value) { return value == "0"; },
     "NVLink switches do not add up"},
    {"NCCL_DEBUG", is_talkative, "every rank prints, at every start and possibly at every call"},
    {"NCCL_CHECK_POINTERS", is_on, "every call's pointers are checked"},
    {"NCCL_ALGO", is_set, "NCCL no longer chooses the algorithm by the size"},
    {"NCCL_PROTO", is_set, "NCCL no longer chooses the protocol by the size"},
    {"NCCL_MAX_NCHANNELS", is_set, "fewer channels may use less than the links give"},
    {"NCCL_MAX_CTAS", is_set, "fewer channels may use less than the links give"},
    {"NCCL_LAUNCH_MODE", is_set, "it is for programs with several GPUs a process, which ours are not"},
    {"CUDA_LAUNCH_BLOCKING", is_on, "nothing overlaps: every kernel is waited for"},
};

// Matters only where there is InfiniBand or RoCE.
constexpr Hurtful kHurtfulWithInfiniband[] = {
    {"NCCL_IB_DISABLE", is_on, "InfiniBand is there and not used"},
    {"NCCL_NET", is_socket, "InfiniBand is there and not used"},
    {"NCCL_NET_GDR_LEVEL", is_nearest, "the network card does not read the GPUs' memory"},
};

void check_table(const Settings& settings, const Hurtful& row, Findings& findings) {
  const auto found = settings.find(row.name);
  if (found == settings.end() || !row.hurts(found->second.value)) return;
  findings.push_back(warning(
      kSettings, std::string(row.name) + "=" + found->second.value + found->second.where + ": " + row.why,
      "leave it out, unless that is what you measure"));
}

void check_interface(const ProbeSource& source, const std::string& variable, const std::string& value,
                     Findings& findings) {
  const auto interfaces = source.names("sys/class/net");
  std::string listed;
  bool any = false;
  for (const std::string& interface : interfaces) {
    listed += (listed.empty() ? "" : ", ") + interface;
    any = any || chooses_interface(value, interface);
  }
  if (!any && !interfaces.empty()) {
    findings.push_back(failure(kSettings, variable + "=" + value + " names no interface of this machine",
                               "there are " + listed));
  } else if (value == "lo" || value == "=lo") {
    findings.push_back(warning(kSettings, variable + "=" + value + " reaches no other machine",
                               "name the interface between the machines; there are " + listed));
  }
}

}  // namespace

Finding probe_nccl_version(int loaded, int built_with, const std::string& file) {
  if (loaded == 0)
    return failure(kVersion, file + " cannot be loaded",
                   "run scripts/setup again, or install the torch wheel");
  const std::string text = version_text(loaded) + ", built with " + version_text(built_with);
  if (loaded < built_with)
    return failure(kVersion, file + " is " + text,
                   "an older one is found first: take it out of LD_LIBRARY_PATH");
  if (loaded != built_with)
    return warning(kVersion, file + " is " + text, "take it out of LD_LIBRARY_PATH, unless it is meant");
  return ok(kVersion, text);
}

Findings probe_nccl_settings(const ProbeSource& source) {
  const Settings settings = read_settings(source);
  Findings findings;
  for (const Hurtful& row : kHurtful) check_table(settings, row, findings);
  if (!source.names("sys/class/infiniband").empty()) {
    for (const Hurtful& row : kHurtfulWithInfiniband) check_table(settings, row, findings);
  }
  if (const auto found = settings.find("NCCL_SOCKET_IFNAME"); found != settings.end())
    check_interface(source, "NCCL_SOCKET_IFNAME", found->second.value, findings);
  for (const char* variable : {"LOCKSTEP_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"}) {
    if (const std::string value = source.variable(variable); !value.empty())
      check_interface(source, variable, value, findings);
  }
  if (findings.empty())
    findings.push_back(
        ok(kSettings, settings.empty() ? "none" : std::to_string(settings.size()) + ", none that hurts"));
  return findings;
}

int nccl_version_of(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) return 0;
  int version = 0;
  const auto get = reinterpret_cast<int (*)(int*)>(dlsym(handle, "ncclGetVersion"));
  if (get == nullptr || get(&version) != 0) version = 0;
  dlclose(handle);
  return version;
}

}  // namespace lockstep
