#include "trainer/matmul_precision.h"

#include <ATen/Context.h>

#include <stdexcept>

namespace lockstep {
namespace {

at::Float32MatmulPrecision parse(const std::string& name) {
  if (name == "highest") return at::Float32MatmulPrecision::HIGHEST;
  if (name == "high") return at::Float32MatmulPrecision::HIGH;
  if (name == "medium") return at::Float32MatmulPrecision::MEDIUM;
  throw std::invalid_argument("--matmul-precision " + name +
                              " is unknown; known are highest, high and medium");
}

}  // namespace

std::string set_matmul_precision(const std::string& name, c10::Device device) {
  const at::Float32MatmulPrecision precision = parse(name);
  at::Context& context = at::globalContext();
  if (context.float32MatmulPrecision() != precision) context.setFloat32MatmulPrecision(name);
  if (precision == at::Float32MatmulPrecision::HIGHEST) return "";
  std::string meaning = "TF32, ten bits of the fraction instead of 23";
  if (!device.is_cuda()) {
    meaning = precision == at::Float32MatmulPrecision::MEDIUM
                  ? "bfloat16, seven bits of the fraction instead of 23, where oneDNN has it on this CPU"
                  : "float32, unless oneDNN has TF32 on this CPU";
  }
  return "float32 matrix products are of precision " + name + ": " + meaning;
}

}  // namespace lockstep
