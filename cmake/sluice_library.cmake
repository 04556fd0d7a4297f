# sluice_library(NAME [COLD] SOURCES a.cpp ... [HEADERS a.h ...] [TESTS a_test.cpp ...] [LINKS target ...])
# One folder of sluice/: the library sluice::NAME and its GoogleTest executable NAME_tests. LINKS are
# the folders and libraries it may include; tests/style/test_layers.py checks the includes themselves. COLD: no
# loop in it is waited for, so it is compiled with -O1, in two thirds of the time.
include(GoogleTest)
add_custom_target(unit_tests) # every folder's tests: what the sanitizer builds build

# With SLUICE_UNITY, what of a target's sources can be compiled as one (tools/unity_groups.py).
function(sluice_unity target)
  set(sources ${ARGN})
  list(FILTER sources INCLUDE REGEX "\\.cpp$")
  if(NOT SLUICE_UNITY OR NOT sources)
    return()
  endif()
  execute_process(COMMAND ${SLUICE_PYTHON} ${CMAKE_SOURCE_DIR}/tools/unity_groups.py ${sources}
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE groups COMMAND_ERROR_IS_FATAL ANY)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  while(groups)
    list(POP_FRONT groups group file)
    set_source_files_properties(${file} PROPERTIES UNITY_GROUP ${group})
  endwhile()
  # GCC takes a source that is included for a header, whose anonymous names others would see.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${sources}) # they say which go together
endfunction()

function(sluice_library name)
  cmake_parse_arguments(ARG "COLD" "" "SOURCES;HEADERS;TESTS;LINKS" ${ARGN})
  set(target sluice_${name})
  if(ARG_SOURCES)
    add_library(${target} STATIC ${ARG_SOURCES})
    sluice_unity(${target} ${ARG_SOURCES})
    target_link_libraries(${target} PUBLIC ${ARG_LINKS} PRIVATE sluice_flags)
    target_include_directories(${target} PUBLIC ${CMAKE_SOURCE_DIR})
    if(ARG_COLD)
      target_compile_options(${target} PRIVATE -O1)
    endif()
    if(ARG_HEADERS)
      target_sources(${target} PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_SOURCE_DIR} FILES ${ARG_HEADERS})
      set_target_properties(${target} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
    endif()
  else()
    add_library(${target} INTERFACE)
    target_link_libraries(${target} INTERFACE ${ARG_LINKS})
    target_include_directories(${target} INTERFACE ${CMAKE_SOURCE_DIR})
  endif()
  add_library(sluice::${name} ALIAS ${target})
  if(ARG_TESTS AND TARGET GTest::gtest_main)
    add_executable(${name}_tests ${ARG_TESTS})
    sluice_unity(${name}_tests ${ARG_TESTS})
    target_link_libraries(${name}_tests PRIVATE sluice::${name} GTest::gtest_main sluice_flags)
    target_compile_options(${name}_tests PRIVATE -O1) # half of -O3's time to compile
    add_dependencies(unit_tests ${name}_tests)
    gtest_discover_tests(${name}_tests DISCOVERY_TIMEOUT 60 PROPERTIES LABELS "unit;${name}" TIMEOUT 120)
  endif()
endfunction()
