// A rank's program that does what it is told by the environment variable FAKE_RANK_<rank>, or FAKE_RANK:
// steps separated by ';', each a word and its argument.
//   print TEXT · error TEXT          to standard output and error; \n and \r are written out
//   getenv NAME · arguments          prints them
//   touch FILE                       makes FILE-<rank> with the process's number in it
//   await FILE                       waits until there is such a file
//   await_pause FILE                 unblocks SIGUSR1, waits for one and touches FILE
//   sleep SECONDS · deaf SECONDS     deaf: and ignores SIGTERM
//   raise SIGNAL · report CODE [MESSAGE] · exit CODE
//   beat STEP                        its heart beats while it trains, after so many steps
//   note                             prints the reason of the restart that this is
//   checkpoint RUN STEP · set_aside RUN   what the trainer would leave there and do
//   attempt N STEP...                a step for the N-th attempt only
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <thread>

#include "trainer/run_dir/exit_code.h"
#include "trainer/run_dir/heartbeat.h"
#include "trainer/run_dir/restart_note.h"
#include "trainer/run_dir/run_dir.h"

namespace {

volatile std::sig_atomic_t pause_requests = 0;

std::string variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

int own_rank() {
  return std::atoi(variable("OMPI_COMM_WORLD_RANK").c_str());
}

std::string written_out(std::string text) {
  for (const auto& [from, to] : {std::pair{"\\n", "\n"}, std::pair{"\\r", "\r"}}) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from)) {
      text.replace(at, 2, to);
    }
  }
  return text;
}

void wait_s(const std::string& seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::stod(seconds));
  while (std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void touch(const std::string& file) {
  const std::string aside = file + "-" + std::to_string(own_rank()) + ".aside";
  std::ofstream(aside) << getpid() << std::endl;
  std::rename(aside.c_str(), (file + "-" + std::to_string(own_rank())).c_str());
}

void await(const std::string& file) {
  while (!std::filesystem::exists(file)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void await_pause(const std::string& file) {
  std::signal(SIGUSR1, [](int) { pause_requests = pause_requests + 1; });
  sigset_t pause;
  sigemptyset(&pause);
  sigaddset(&pause, SIGUSR1);
  sigprocmask(SIG_UNBLOCK, &pause, nullptr);
  while (pause_requests == 0) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  touch(file);
}

void report(const std::string& argument) {
  std::istringstream words(argument);
  int code = 0;
  std::string message;
  words >> code >> std::ws;
  std::getline(words, message);
  lockstep::write_exit_report(lockstep::exit_report_dir(),
                              {own_rank(), static_cast<lockstep::ExitCode>(code), message});
}

void print_arguments(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::cout << argv[i] << "\n";
  }
  std::cout << std::flush;
}

void beat(const std::string& step) {
  static lockstep::HeartbeatPage page = lockstep::HeartbeatPage::from_environment();
  page.beat(lockstep::RankPhase::kTraining, std::stoll(step));
}

void make_checkpoint(const std::string& argument) {
  std::istringstream words(argument);
  std::string run;
  long step = 0;
  words >> run >> step;
  const auto folder = lockstep::RunDir(run).checkpoint(step);
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "meta.json") << "{}";
}

// The rest of `step` if it is meant for this attempt.
std::string for_this_attempt(const std::string& step) {
  if (!step.starts_with("attempt ")) return step;
  std::string attempt = lockstep::exit_report_dir().filename().string();  // attempt-1
  std::replace(attempt.begin(), attempt.end(), '-', ' ');
  return step.starts_with(attempt + " ") ? step.substr(attempt.size() + 1) : "";
}

}  // namespace

int main(int argc, char** argv) {
  std::string script = variable("FAKE_RANK_" + std::to_string(own_rank()));
  if (script.empty()) {
    script = variable("FAKE_RANK");
  }
  std::istringstream steps(script);
  for (std::string line; std::getline(steps, line, ';');) {
    const std::string step = for_this_attempt(line);
    if (step.empty()) continue;
    const std::string word = step.substr(0, step.find(' '));
    const std::string argument = step.size() > word.size() ? step.substr(word.size() + 1) : "";
    if (word == "print") {
      std::cout << written_out(argument) << std::flush;
    } else if (word == "error") {
      std::cerr << written_out(argument) << std::flush;
    } else if (word == "getenv") {
      std::cout << argument << "=" << variable(argument) << std::endl;
    } else if (word == "arguments") {
      print_arguments(argc, argv);
    } else if (word == "touch") {
      touch(argument);
    } else if (word == "await") {
      await(argument);
    } else if (word == "await_pause") {
      await_pause(argument);
    } else if (word == "sleep") {
      wait_s(argument);
    } else if (word == "deaf") {
      std::signal(SIGTERM, SIG_IGN);
      wait_s(argument);
    } else if (word == "raise") {
      std::raise(std::stoi(argument));
    } else if (word == "report") {
      report(argument);
    } else if (word == "beat") {
      beat(argument);
    } else if (word == "note") {
      const auto note = lockstep::read_restart_note(lockstep::exit_report_dir());
      std::cout << "note: " << (note ? note->reason : "none") << std::endl;
    } else if (word == "checkpoint") {
      make_checkpoint(argument);
    } else if (word == "set_aside") {
      lockstep::RunDir(argument).set_aside();
    } else if (word == "exit") {
      return std::stoi(argument);
    } else {
      std::cerr << "fake_rank: no such step: " << step << std::endl;
      return 99;
    }
  }
  return 0;
}
