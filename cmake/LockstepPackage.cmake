# cmake --install: libraries, headers, programs, and a package for find_package(Lockstep).
