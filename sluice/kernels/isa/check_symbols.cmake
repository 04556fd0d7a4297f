# cmake -DNM=nm -DOBJECTS=a.o;b.o -P check_symbols.cmake
# Fails when an instruction set's unit defines a symbol that the linker can see, but its table and what is in the
# set's own namespace: a shared inline function would be linked once for all units, in whichever unit's instructions.
foreach(object IN LISTS OBJECTS)
  if(NOT object MATCHES "/sluice_kernels_([a-z0-9_]+)\\.dir/")
    continue()
  endif()
  set(isa ${CMAKE_MATCH_1})
  execute_process(COMMAND ${NM} --defined-only --extern-only ${object}
    OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX REPLACE "\n$" "" symbols "${symbols}")
  string(REPLACE "\n" ";" symbols "${symbols}")
  foreach(symbol IN LISTS symbols)
    if(NOT symbol MATCHES "${isa}_table" AND NOT symbol MATCHES "N6sluice7kernels[0-9]+${isa}[0-9]")
      message(SEND_ERROR "${object} defines ${symbol}")
    endif()
  endforeach()
endforeach()
