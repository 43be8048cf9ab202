// A file of options. What is accepted comes back the same when it is written and read again.
#include <stdexcept>
#include <string>
#include <string_view>

#include "sampler/data_error.h"
#include "tests/fuzz/harness.h"
#include "trainer/config/config_file.h"
#include "trainer/config/train_options.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lockstep::TrainConfig config;
  try {
    lockstep::read_config_text({reinterpret_cast<const char*>(data), size}, "fuzz.toml", config);
  } catch (const lockstep::DataError&) {
    return 0;
  } catch (const std::invalid_argument&) {
    return 0;
  }
  lockstep::TrainConfig again;
  const std::string text = lockstep::to_toml(config);
  lockstep::read_config_text(text, "again.toml", again);
  if (lockstep::to_toml(again) != text) __builtin_trap();
  return 0;
}
