# Libraries from the system, and MLX from the wheel that `make setup` puts into .venv.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(GTest REQUIRED)
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED)
# Linux only; a build without it reads with threads, and says so.
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBURING IMPORTED_TARGET liburing)

set(SLUICE_PYTHON ${CMAKE_SOURCE_DIR}/.venv/bin/python CACHE FILEPATH "The Python whose site-packages hold MLX")
execute_process(
  COMMAND ${SLUICE_PYTHON} -c "import importlib.util as u; print(list(u.find_spec('mlx').submodule_search_locations)[0])"
  OUTPUT_VARIABLE SLUICE_MLX_ROOT OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE found)
if(NOT found EQUAL 0)
  message(FATAL_ERROR "MLX was not found by ${SLUICE_PYTHON}: run `make setup` first")
endif()
find_package(MLX CONFIG REQUIRED PATHS ${SLUICE_MLX_ROOT}/share/cmake/MLX NO_DEFAULT_PATH)
# SYSTEM: our warning flags are not for MLX's headers.
set_target_properties(mlx PROPERTIES INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${MLX_INCLUDE_DIRS}")
