# The target sluice::rust_text: the crate rust/text as a static library, with its generated C++ header
# "sluice_text.h" and cxx's "rust/cxx.h". Cargo runs only when one of the crate's files has changed, and
# builds into build/rust, which all build directories share.
find_program(SLUICE_CARGO cargo HINTS ENV CARGO_HOME $ENV{HOME}/.cargo PATH_SUFFIXES bin)
if(NOT SLUICE_CARGO)
  message(FATAL_ERROR "cargo was not found: run `make setup` first")
endif()
execute_process(COMMAND ${SLUICE_CARGO} --version OUTPUT_VARIABLE version OUTPUT_STRIP_TRAILING_WHITESPACE)
if(version MATCHES "^cargo ([0-9.]+)" AND CMAKE_MATCH_1 VERSION_LESS 1.85)
  message(FATAL_ERROR "${SLUICE_CARGO} is ${CMAKE_MATCH_1}, Sluice needs Rust 1.85 or newer: run `make setup` first")
endif()

# The compiler beside it: a Debian cargo must not pick up rustup's rustc.
cmake_path(GET SLUICE_CARGO PARENT_PATH cargo_folder)
find_program(SLUICE_RUSTC rustc HINTS ${cargo_folder} REQUIRED)

# The compiler of the same toolchain: rustup's and the system's may both be there.
cmake_path(GET SLUICE_CARGO PARENT_PATH rust_bin)

set(crate ${CMAKE_SOURCE_DIR}/rust/text)
set(target ${CMAKE_SOURCE_DIR}/build/rust) # shared: the presets build the same library
set(rust_include ${target}/include)
set(generated ${target}/generated) # what cargo writes: Ninja removes the outputs of a command that was interrupted
set(rust_library ${target}/release/libsluice_text.a)
set(cargo_environment ${CMAKE_COMMAND} -E env CARGO_TARGET_DIR=${target} SLUICE_CXX_INCLUDE=${generated}
  RUSTC=${SLUICE_RUSTC} ${SLUICE_CARGO})

add_custom_command(
  OUTPUT ${rust_library} ${rust_include}/sluice_text.h ${rust_include}/rust/cxx.h
  COMMAND ${cargo_environment} build --release --locked --quiet
  COMMAND ${CMAKE_COMMAND} -E copy_if_different ${generated}/sluice_text.h ${rust_include}/sluice_text.h
  COMMAND ${CMAKE_COMMAND} -E copy_if_different ${generated}/rust/cxx.h ${rust_include}/rust/cxx.h
  COMMAND ${CMAKE_COMMAND} -E touch ${rust_library} # cargo leaves an equal library as old as it was
  DEPENDS ${crate}/Cargo.toml ${crate}/Cargo.lock ${crate}/build.rs ${crate}/src/lib.rs
  DEPFILE ${target}/release/libsluice_text.d # names the other sources
  WORKING_DIRECTORY ${crate}
  COMMENT "Building the Rust crate rust/text"
  VERBATIM)
add_custom_target(sluice_rust_text_build DEPENDS ${rust_library})

file(MAKE_DIRECTORY ${rust_include}/rust)
add_library(sluice_rust_text STATIC IMPORTED)
set_target_properties(sluice_rust_text PROPERTIES
  IMPORTED_LOCATION ${rust_library}
  INTERFACE_INCLUDE_DIRECTORIES ${rust_include}
  INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};$<$<PLATFORM_ID:Darwin>:-framework CoreFoundation>")
add_dependencies(sluice_rust_text sluice_rust_text_build)
add_library(sluice::rust_text ALIAS sluice_rust_text)

add_test(NAME rust_text
  COMMAND ${cargo_environment} test --release --locked --quiet
  WORKING_DIRECTORY ${crate})
set_tests_properties(rust_text PROPERTIES LABELS "unit;text" TIMEOUT 600)
