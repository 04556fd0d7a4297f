# Writes OUTPUT, the source that defines page_files, from FILES (a list, absolute). As a script:
#   cmake -DOUTPUT=... -DFILES=... -P embed.cmake
set(type_.html "text/html; charset=utf-8")
set(type_.js "text/javascript; charset=utf-8")
set(type_.css "text/css; charset=utf-8")
set(type_.svg "image/svg+xml")
set(arrays "")
set(entries "")
foreach(path IN LISTS FILES)
  get_filename_component(name ${path} NAME)
  get_filename_component(ending ${path} LAST_EXT)
  if(NOT DEFINED type_${ending})
    message(FATAL_ERROR "${path}: its content type is not known; add it to embed.cmake")
  endif()
  string(MAKE_C_IDENTIFIER ${name} symbol)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
  file(SHA256 ${path} hash)
  string(SUBSTRING ${hash} 0 32 hash)
  string(APPEND arrays "constexpr char ${symbol}[] = {${bytes}};\n")
  string(APPEND entries "    {\"${name}\", {\"${type_${ending}}\", {${symbol}, sizeof ${symbol}}, \"\\\"${hash}\\\"\"}},\n")
endforeach()
file(WRITE ${OUTPUT} "#include \"sluice/server/page/page_files.h\"

namespace sluice::server {
namespace {
${arrays}
constexpr NamedPageFile files[] = {
${entries}};
}  // namespace

const std::span<const NamedPageFile> page_files = files;

}  // namespace sluice::server
")
