#include "trainer/bill/user_command.h"

#include <spawn.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

namespace lockstep {

std::vector<std::string> split_words(const std::string& command) {
  std::vector<std::string> words;
  bool in_word = false;
  char quote = 0;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char letter = command[i];
    const bool blank = letter == ' ' || letter == '\t';
    if (quote == 0 && blank) {
      in_word = false;
      continue;
    }
    if (!in_word) words.emplace_back();
    in_word = true;
    if (quote == 0 && (letter == '\'' || letter == '"')) {
      quote = letter;
    } else if (letter == quote) {
      quote = 0;
    } else if (letter == '\\' && quote != '\'' && i + 1 < command.size()) {
      words.back() += command[++i];
    } else {
      words.back() += letter;
    }
  }
  if (quote != 0)
    throw std::invalid_argument("a " + std::string(1, quote) + " is not closed; close it, or write \\" +
                                quote);
  if (words.empty() || words.front().empty())
    throw std::invalid_argument("it names no command; give a program and its arguments, without a shell");
  return words;
}

StartedCommand start_command(const std::vector<std::string>& words) {
  std::vector<char*> argv;
  for (const std::string& word : words)
    argv.push_back(const_cast<char*>(word.c_str()));  // execv's own signature, from before const
  argv.push_back(nullptr);
  StartedCommand started;
  if (const int error = posix_spawnp(&started.child, argv[0], nullptr, nullptr, argv.data(), environ);
      error != 0)
    started.problem = std::string("cannot be started (") + std::strerror(error) + ")";
  return started;
}

}  // namespace lockstep
