# Finds what we stand on. LibTorch comes from the `torch` wheel that scripts/setup puts into .venv, unless
# CMAKE_PREFIX_PATH or Torch_DIR says otherwise.
include(LockstepTorch)

find_package(MPI REQUIRED COMPONENTS C)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(cxxopts REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(tomlplusplus REQUIRED)
