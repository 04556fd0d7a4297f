# Writes OUTPUT, the source that defines page_files, from FILES (a list, absolute). As a script:
#   cmake -DOUTPUT=... -DFILES=... -P embed.cmake
set(types html "text/html; charset=utf-8" js "text/javascript; charset=utf-8" css "text/css; charset=utf-8" svg "image/svg+xml")
set(arrays "")
set(entries "")
foreach(path IN LISTS FILES)
  get_filename_component(name ${path} NAME)
  get_filename_component(ending ${path} LAST_EXT)
  string(SUBSTRING ${ending} 1 -1 ending)
  list(FIND types ${ending} at)
  if(at EQUAL -1)
    message(FATAL_ERROR "${path}: its content type is not known; add it to embed.cmake")
  endif()
  math(EXPR at "${at} + 1")
  list(GET types ${at} type)
  string(MAKE_C_IDENTIFIER ${name} symbol)
  file(READ ${path} hex HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${hex}")
  file(SHA256 ${path} hash)
  string(SUBSTRING ${hash} 0 32 hash)
  string(APPEND arrays "constexpr char ${symbol}[] = {${bytes}};\n")
  string(APPEND entries "    {\"${name}\", {\"${type}\", {${symbol}, sizeof ${symbol}}, \"\\\"${hash}\\\"\"}},\n")
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
