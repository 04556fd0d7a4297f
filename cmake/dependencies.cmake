# Libraries from the system, and MLX from the wheel that `make setup` puts into .venv.
find_package(Threads REQUIRED)
if(SKBUILD) # pip builds: MLX is in the environment that it made
  set(SLUICE_PYTHON ${Python_EXECUTABLE} CACHE FILEPATH "")
endif()
set(SLUICE_PYTHON ${CMAKE_SOURCE_DIR}/.venv/bin/python CACHE FILEPATH "The Python whose site-packages hold MLX")

# No package is there for the machine built for: fmt's headers are of no machine, GoogleTest comes as sources.
if(SLUICE_KERNELS_ONLY)
  find_path(SLUICE_FMT_HEADERS fmt/format.h NO_CMAKE_FIND_ROOT_PATH REQUIRED)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/include)
  file(CREATE_LINK ${SLUICE_FMT_HEADERS}/fmt ${CMAKE_BINARY_DIR}/include/fmt SYMBOLIC) # only fmt's, not the C library's
  add_library(sluice_fmt INTERFACE)
  target_include_directories(sluice_fmt SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/include)
  target_compile_definitions(sluice_fmt INTERFACE FMT_HEADER_ONLY)
  add_library(fmt::fmt ALIAS sluice_fmt)
  set(BUILD_GMOCK OFF CACHE BOOL "")
  set(INSTALL_GTEST OFF CACHE BOOL "")
  add_subdirectory(/usr/src/googletest ${CMAKE_BINARY_DIR}/googletest EXCLUDE_FROM_ALL SYSTEM)
  return()
endif()

find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(GTest) # without it, no tests: `make test` installs it
find_package(CURL REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(SQLite3 3.37 REQUIRED) # the index of the disk prompt cache
find_package(Boost 1.81 REQUIRED) # headers only: Beast and Asio
# Linux only; a build without it reads with threads, and says so.
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBURING IMPORTED_TARGET liburing)
pkg_check_modules(PROMETHEUS REQUIRED IMPORTED_TARGET prometheus-cpp-core)

execute_process(
  COMMAND ${SLUICE_PYTHON} -c "import importlib.util as u; print(list(u.find_spec('mlx').submodule_search_locations)[0])"
  OUTPUT_VARIABLE SLUICE_MLX_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE found)
if(NOT found EQUAL 0)
  message(FATAL_ERROR "MLX was not found by ${SLUICE_PYTHON}: run `make setup` first")
endif()
find_package(MLX CONFIG REQUIRED PATHS ${SLUICE_MLX_ROOT}/share/cmake/MLX NO_DEFAULT_PATH)
# SYSTEM: our warning flags are not for MLX's headers.
set_target_properties(mlx PROPERTIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${MLX_INCLUDE_DIRS}")
